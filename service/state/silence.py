"""Units of which nothing is heard: their workers renew their leases no longer, since they died, hang or are cut off."""

from dataclasses import dataclass

from sqlalchemy import select

from service.state.database import Database
from service.state.lifecycle import Stage
from service.state.tables import Unit, now

LEAST_SECONDS = 10.0  # without a renewal that are remarkable: workers renew every three seconds, or more often
MOST_OF_LEASE = 0.5  # share of a shorter lease


@dataclass(frozen=True, slots=True)
class SilentUnit:
    stage: Stage
    number: int  # of the unit in its stage, from 0
    fence: int  # of the lease
    seconds: float  # since the lease was renewed last
    left: float  # seconds until the lease ends, and another worker may take over

    def __str__(self) -> str:
        ended = "its lease has ended, and it waits for a free worker"
        end = f"its lease ends in {self.left:.0f} s, then another takes over" if self.left > 0 else ended
        return f"{self.stage} {self.number}: no sign of its worker for {self.seconds:.0f} s; {end}"


def silent_units(database: Database, version_id: int, lease_seconds: float) -> list[SilentUnit]:
    """The leased units of a version whose leases, of so many seconds, were not renewed for a while."""
    left = Unit.lease_until - now()
    least = min(LEAST_SECONDS, MOST_OF_LEASE * lease_seconds)
    leased = Unit.version_id == version_id, Unit.state == "leased", left <= lease_seconds - least
    with database.read() as session:
        query = select(Unit.stage, Unit.number, Unit.fence, left).where(*leased).order_by(Unit.stage, Unit.number)
        rows = session.execute(query).tuples().all()
    return [
        SilentUnit(stage, number, fence, lease_seconds - left, left)
        for stage, number, fence, left in rows
        if left is not None
    ]
