"""Numbers of a dataset's versions, and which of them is the latest."""

from service.state import datasets, leases, queue, versions
from service.state.database import Database
from service.state.tables import Version
from tests.builders import document


def found(database: Database) -> list[Version]:
    return versions.page(database, "team", dataset="shoes", state=None, before=None, limit=100)


def finish(database: Database, ends: str) -> None:
    ((unit, _),) = queue.next_units(database)
    lease = leases.acquire(database, unit, "w", 60)
    assert lease is not None
    leases.complete(database, lease, {"ends": ends}, {})


def test_a_run_that_found_nothing_new_leaves_its_number_to_the_next(database: Database) -> None:
    for ends in ("completed", "unchanged", "unchanged", "held", "unchanged"):
        versions.create(database, "team", "shoes", document(), refresh=True)
        finish(database, ends)
    assert [(v.number, v.previous, v.state) for v in found(database)] == [
        (3, 2, "unchanged"), (2, 1, "held"), (1, None, "completed"),
    ]  # fmt: skip
    series = datasets.find(database, "team", "shoes")
    assert series is not None
    assert series.latest == 1


def test_a_version_that_completes_after_a_newer_one_is_not_the_latest(database: Database) -> None:
    for _ in range(2):
        versions.create(database, "team", "shoes", document())
    for unit, _ in reversed(queue.next_units(database)):
        lease = leases.acquire(database, unit, "w", 60)
        assert lease is not None
        leases.complete(database, lease, {}, {})
    series = datasets.find(database, "team", "shoes")
    assert series is not None
    assert series.latest == 2
