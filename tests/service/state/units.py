"""Leasing and completing units, as workers do."""

from service.state import leases, queue, versions
from service.state.database import Database
from service.state.leases import Lease

UNIT_COUNTS = {"learn": 1, "generate": 3, "finalize": 1, "evaluate": 2, "report": 1}


def state(database: Database, version: int) -> str:
    found = versions.get(database, version)
    assert found is not None
    return found.state


def take(database: Database, owner: str = "w1", seconds: float = 60) -> Lease:
    """Lease whatever is first in line."""
    (unit, _), *_ = queue.next_units(database)
    lease = leases.acquire(database, unit, owner, seconds)
    assert lease is not None
    return lease


def finish(database: Database, lease: Lease) -> None:
    leases.complete(database, lease, {"n": lease.number}, UNIT_COUNTS if lease.stage == "plan" else None)


def through(database: Database, stage: str) -> None:
    """Do all the work of the stages before `stage`."""
    while queue.next_units(database)[0][1] != stage:
        finish(database, take(database))
