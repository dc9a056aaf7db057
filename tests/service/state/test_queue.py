"""The queue of units, counted."""

import time

from service.state import leases, queue, versions
from service.state.database import Database
from tests.service.state.units import take, through


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
    assert leases.acquire(database, first, "ghost", 0.05)
    assert [unit for unit, _ in queue.next_units(database)] == [second]
    time.sleep(0.1)
    assert [unit for unit, _ in queue.next_units(database)] == [second, first]
    assert [unit for unit, _ in queue.next_units(database, limit=1)] == [second]
