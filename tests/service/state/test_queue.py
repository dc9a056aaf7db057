"""The queue of units: counted, and in a fair order. Costs 10 s, most of it the start of PostgreSQL."""

import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import update

from service.state import leases, queue, transitions, versions
from service.state.database import Database
from service.state.leases import Lease
from service.state.lifecycle import Stage
from service.state.tables import Unit, Upload, Version
from tests.service.state.units import take, through


def generating(database: Database, tenant: str, shards: int, priority: int = 0) -> int:
    """A new version whose shards are ready, and nothing else of it."""
    version = versions.create(database, tenant, "set", {}, priority=priority)
    with database.write() as session:
        row = session.get_one(Version, version)
        session.execute(update(Unit).where(Unit.version_id == version).values(state="done"))
        row.state, row.unit_counts = "generating", {"generate": shards}
        transitions.add_units(session, row, "generate", shards)
    return version


def tenants(database: Database, units: Sequence[tuple[int, Stage]]) -> list[str]:
    with database.read() as session:
        return [session.get_one(Unit, unit).tenant for unit, _ in units]


def test_what_waits_is_counted_by_stage(database: Database, version: int) -> None:
    through(database, "generate")
    take(database)
    assert queue.count_active(database) == {
        ("plan", "done"): 1,
        ("learn", "done"): 1,
        ("generate", "ready"): 2,
        ("generate", "leased"): 1,
    }
    assert 0 <= queue.longest_wait(database) < 10


def test_a_unit_whose_lease_expired_is_in_line_since_then(database: Database, version: int) -> None:
    """Behind one that has been ready for longer, though it was ready first itself."""
    versions.create(database, "team", "hats", {})
    (first, _), (second, _) = queue.next_units(database)
    assert leases.acquire(database, first, "ghost", 1)
    assert [unit for unit, _ in queue.next_units(database)] == [second]
    time.sleep(1.1)
    assert [unit for unit, _ in queue.next_units(database)] == [second, first]
    assert [unit for unit, _ in queue.next_units(database, limit=1)] == [second]


def test_tenants_take_turns_however_many_units_one_of_them_has(database: Database) -> None:
    generating(database, "large", 100)
    generating(database, "small", 2)
    order = tenants(database, queue.next_units(database))
    assert len(order) == 32
    assert order[:5] == ["large", "small", "large", "small", "large"]
    owners = []
    for _ in range(6):
        unit, _ = queue.next_units(database)[0]
        owners += tenants(database, [(unit, "generate")])
        assert leases.acquire(database, unit, "w", 60)
    assert owners == ["large", "small", "large", "small", "large", "large"]


def test_a_higher_priority_comes_first_and_then_what_has_waited_longest(database: Database) -> None:
    first, second = generating(database, "team", 1), generating(database, "team", 1)
    urgent = generating(database, "team", 40, priority=5)
    with database.read() as session:
        rows = [session.get_one(Unit, unit) for unit, _ in queue.next_units(database, limit=42)]
    assert [row.version_id for row in rows] == [*[urgent] * 40, first, second]


def test_workers_that_look_at_once_start_with_different_units_of_a_version(database: Database) -> None:
    generating(database, "team", 100)
    assert len({queue.next_units(database)[0] for _ in range(12)}) > 4
    gate = threading.Barrier(8)

    def race(_: int) -> Lease | None:
        units = queue.next_units(database)
        gate.wait(30)
        return next(filter(None, (leases.acquire(database, unit, "w", 60) for unit, _ in units)), None)

    with ThreadPoolExecutor(8) as pool:
        assert len({lease.unit for lease in pool.map(race, range(8)) if lease}) == 8


def test_a_tenant_has_no_more_running_units_than_its_cap(database: Database) -> None:
    """Also when workers race for units of different versions, which no lock of a version keeps apart."""
    for _ in range(8):
        generating(database, "team", 1)
    generating(database, "other", 1)
    assert len(queue.next_units(database, running_cap=3)) == 4
    units = [unit for unit, _ in queue.next_units(database)]
    gate = threading.Barrier(len(units))

    def race(unit: int) -> Lease | None:
        gate.wait(30)
        return leases.acquire(database, unit, "w", 60, 3)

    with ThreadPoolExecutor(len(units)) as pool:
        held = [lease for lease in pool.map(race, units) if lease]
    assert Counter(tenants(database, [(lease.unit, lease.stage) for lease in held])) == {"team": 3, "other": 1}
    assert queue.next_units(database, running_cap=3) == []
    leases.release(database, held[0])
    assert len(queue.next_units(database, running_cap=3)) == 1


def test_the_unit_of_an_upload_is_in_the_queue_while_it_waits(database: Database, version: int) -> None:
    with database.write() as session:
        upload = Upload(tenant="team", source="birds", key="k", size=1, allow_synthetic=False, created=0.0)
        session.add(upload)
        session.flush()
        session.add(Unit(tenant="team", upload_id=upload.id, stage="ingest", number=0, not_before=1.0))
    assert [stage for _, stage in queue.next_units(database)] == ["ingest", "plan"]
    assert queue.depth(database) == {"ingest": 1, "plan": 1}
    with database.write() as session:
        session.execute(update(Upload).values(state="failed"))
    assert [stage for _, stage in queue.next_units(database)] == ["plan"]


def test_of_a_version_only_the_stage_that_it_waits_for_is_in_the_queue(database: Database) -> None:
    """A version that failed leaves ready shards behind: none of them is made while it is removed."""
    version = generating(database, "team", 3)
    shards = [unit for unit, _ in queue.next_units(database)]
    with database.write() as session:
        row = session.get_one(Version, version)
        row.state = "deleting"
        transitions.add_units(session, row, "delete", 1)
    ((unit, stage),) = queue.next_units(database)
    assert stage == "delete"
    assert leases.acquire(database, shards[0], "w", 60) is None
    assert leases.acquire(database, unit, "w", 60)
