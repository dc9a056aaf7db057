"""Who works on what, when workers race, die, stall and are told to stop."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import update

from service.state import leases, queue, versions
from service.state.database import Database
from service.state.leases import Lease, LeaseLost
from service.state.tables import Unit
from service.state.usage import usage
from tests.service.state.units import finish, state, take


def test_of_many_workers_that_race_for_a_unit_one_gets_it(database: Database, version: int) -> None:
    ((unit, _),) = queue.next_units(database)
    gate = threading.Barrier(8)

    def race(name: int) -> Lease | None:
        gate.wait()
        return leases.acquire(database, unit, f"w{name}", 60)

    with ThreadPoolExecutor(8) as pool:
        won = [lease for lease in pool.map(race, range(8)) if lease]
    assert len(won) == 1
    assert leases.acquire(database, unit, "late", 60) is None


def test_many_workers_finish_a_version_with_each_unit_done_once(database: Database, version: int) -> None:
    leases.complete(database, take(database), {}, {"generate": 40, "finalize": 1})
    done: list[tuple[str, int]] = []

    def work(name: int) -> None:
        while state(database, version) != "completed":
            for unit, _ in queue.next_units(database)[:3]:
                if lease := leases.acquire(database, unit, f"w{name}", 60):
                    done.append((lease.stage, lease.number))
                    finish(database, lease)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert sorted(done) == sorted([*(("generate", n) for n in range(40)), ("finalize", 0)])


def test_a_dead_workers_unit_is_taken_over_and_its_ghost_writes_nothing(database: Database, version: int) -> None:
    ghost = take(database, "ghost", seconds=0.05)
    time.sleep(0.1)
    heir = take(database, "heir")
    assert (heir.unit, heir.fence) == (ghost.unit, ghost.fence + 1)
    for late in (
        lambda: leases.renew(database, ghost, 60),
        lambda: leases.complete(database, ghost, {}, {"finalize": 9}),
        lambda: leases.release(database, ghost),
        lambda: leases.fail(database, ghost, "late", again=False),
    ):
        with pytest.raises(LeaseLost):
            late()
    assert state(database, version) == "planning"
    finish(database, heir)
    assert state(database, version) == "learning"


def test_a_lease_is_its_owners_alone(database: Database, version: int) -> None:
    """Whatever unit and fence it names: an id that was given to another unit meanwhile is not enough."""
    lease = take(database, "owner")
    for other in (replace(lease, owner="other"), replace(lease, fence=lease.fence + 1)):
        with pytest.raises(LeaseLost):
            leases.complete(database, other, {}, {"finalize": 1})
    finish(database, lease)


def test_a_renewed_lease_is_not_taken_over(database: Database, version: int) -> None:
    lease = take(database, seconds=0.05)
    leases.renew(database, lease, 60)
    time.sleep(0.1)
    assert queue.next_units(database) == []
    assert leases.acquire(database, lease.unit, "thief", 60) is None


def test_a_unit_given_back_is_taken_up_at_once_and_costs_no_attempt(database: Database, version: int) -> None:
    for _ in range(2 * leases.ATTEMPTS):
        leases.release(database, take(database))
    assert take(database).attempts == 1


def test_what_fails_for_a_while_is_tried_again_later_and_later(
    database: Database, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "BACKOFF", 0.05)
    leases.fail(database, take(database), "store: 503", again=True)
    assert queue.next_units(database) == []
    time.sleep(0.1)
    leases.fail(database, take(database), "store: 503", again=True)
    time.sleep(0.06)
    assert queue.next_units(database) == []
    time.sleep(0.1)
    finish(database, take(database))
    assert state(database, version) == "learning"


@pytest.mark.parametrize("again", [False, True])
def test_what_cannot_be_done_fails_the_version_with_its_reason(
    database: Database, version: int, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    monkeypatch.setattr(leases, "BACKOFF", 0.0)
    for _ in range(leases.ATTEMPTS if again else 1):
        leases.fail(database, take(database), "source.path: no such folder", again=again)
    found = versions.get(database, version)
    assert found is not None
    assert (found.state, found.error) == ("failed", "source.path: no such folder")
    assert queue.next_units(database) == []


def test_a_unit_that_kills_its_workers_fails_the_version(database: Database, version: int) -> None:
    ((unit, _),) = queue.next_units(database)
    for _ in range(leases.ATTEMPTS):
        assert leases.acquire(database, unit, "doomed", 0)
        time.sleep(0.01)
    assert leases.acquire(database, unit, "spared", 60) is None
    found = versions.get(database, version)
    assert found is not None
    assert (found.state, found.error) == ("failed", "plan 0: its worker died 5 times")


def test_a_version_counts_the_seconds_of_its_workers_however_their_units_end(database: Database, version: int) -> None:
    leases.complete(database, take(database), {}, {"learn": 1, "generate": 1, "finalize": 1}, seconds=1.5)
    leases.fail(database, take(database), "store: 503", again=True, seconds=20.0)
    with database.write() as session:
        session.execute(update(Unit).values(not_before=0))
    leases.release(database, take(database), 2.0)
    leases.complete(database, take(database), {}, seconds=3.0)
    found = versions.get(database, version)
    assert found is not None
    assert (found.cpu_seconds, found.gpu_seconds) == (1.5, 25.0)
    of_tenant = usage(database, found.tenant)
    assert (of_tenant.cpu_seconds, of_tenant.gpu_seconds) == (1.5, 25.0)
    last = take(database)
    with pytest.raises(LeaseLost):
        leases.complete(database, replace(last, owner="ghost"), {}, seconds=9.0)
    leases.fail(database, last, "no such folder", again=False, seconds=4.0)
    failed = versions.get(database, version)
    assert failed is not None
    assert (failed.state, failed.gpu_seconds) == ("failed", 29.0)
