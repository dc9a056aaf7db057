"""Leases: who may work on a unit, until when. A lease has a fencing number; whoever holds an older one has lost it.

The queue only says that a unit may be worth a look. Whether it is, and whose it is, is decided here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, func, select, update
from sqlalchemy.orm import Session

from service.state import versions
from service.state.database import Database
from service.state.lifecycle import STAGE_OF, STAGES, Stage
from service.state.tables import Unit, Version, now

ATTEMPTS = 5  # times that a unit may be taken up before its version fails
BACKOFF = 2.0  # seconds before the second attempt; doubled for each that follows


class LeaseLost(Exception):
    """Another worker holds the unit, or its version was cancelled: stop, and write nothing."""


@dataclass(frozen=True, slots=True)
class Lease:
    unit: int
    version: int
    stage: Stage
    number: int
    fence: int
    attempts: int


def running() -> Any:
    """The unit's version is on its way, and in the unit's stage."""
    return Unit.version_id.in_(select(Version.id).where(Version.state.in_(STAGE_OF)))


def open_to_all() -> Any:
    """Ready and due, or leased by someone who has not been heard of in time: `due` is the end of a lease."""
    return and_(Unit.state.in_(("ready", "leased")), Unit.due <= now(), running())


def acquire(database: Database, unit: int, owner: str, seconds: float) -> Lease | None:
    """Take a unit for so long; None if it is done, held or not wanted. A unit taken up too often fails its version."""
    with database.write() as session:
        row = session.execute(
            update(Unit)
            .where(Unit.id == unit, open_to_all())
            .values(state="leased", owner=owner, due=now() + seconds, fence=Unit.fence + 1, attempts=Unit.attempts + 1)
            .returning(Unit.id, Unit.version_id, Unit.stage, Unit.number, Unit.fence, Unit.attempts)
        ).one_or_none()
        if row is None:
            return None
        lease = Lease(*row.tuple())
        if lease.attempts > ATTEMPTS:
            give_up(session, lease, f"{lease.stage} {lease.number}: its worker died {ATTEMPTS} times")
            return None
        versions.started(session, session.get_one(Version, lease.version), lease.stage)
        return lease


def held(lease: Lease) -> Any:
    return and_(Unit.id == lease.unit, Unit.fence == lease.fence, Unit.state == "leased")


def change(session: Session, lease: Lease, **values: Any) -> None:
    """Change a unit that is held. Raises LeaseLost when it is not."""
    if session.scalar(update(Unit).where(held(lease)).values(**values).returning(Unit.id)) is None:
        raise LeaseLost(f"{lease.stage} {lease.number}")


def renew(database: Database, lease: Lease, seconds: float) -> None:
    """Say that the worker lives. Raises LeaseLost when the unit was taken over, or its version is to be cancelled."""
    with database.write() as session:
        if session.scalar(update(Unit).where(held(lease), running()).values(due=now() + seconds).returning(Unit.id)) is None:
            raise LeaseLost(f"{lease.stage} {lease.number}")


def complete(
    database: Database, lease: Lease, report: dict[str, Any], work: dict[str, int] | None = None, seconds: float = 0.0
) -> None:
    """The unit is done, in so many seconds. `work`: what the plan found there is to do. Raises LeaseLost."""
    with database.write() as session:
        version = session.get_one(Version, lease.version, with_for_update=True)
        change(session, lease, state="done", owner=None, report=report, error=None)
        if work is not None:
            version.work = dict(work)
        version.counts = versions.counted(version.counts, lease.stage, report)
        said = {"stage": lease.stage, "number": lease.number, "report": {**report, "seconds": round(seconds, 1)}}
        versions.note(session, lease.version, "unit", said)
        session.flush()
        versions.advance(session, lease.version)
        versions.settle(session, lease.version)


def release(database: Database, lease: Lease) -> None:
    """Give a unit back unfinished, for anyone to go on with at once; the attempt does not count. Raises LeaseLost."""
    with database.write() as session:
        change(session, lease, state="ready", owner=None, due=now(), attempts=Unit.attempts - 1)
        versions.settle(session, lease.version)


def fail(database: Database, lease: Lease, error: str, *, again: bool) -> None:
    """The unit went wrong: try again later, or fail its version. Raises LeaseLost."""
    with database.write() as session:
        if again and lease.attempts < ATTEMPTS:
            wait = BACKOFF * 2 ** (lease.attempts - 1)
            change(session, lease, state="ready", owner=None, due=now() + wait, error=error)
        else:
            give_up(session, lease, error)


def give_up(session: Session, lease: Lease, error: str) -> None:
    change(session, lease, state="failed", owner=None, error=error)
    versions.stop(session, lease.version, "failed", error)


def in_line(database: Database, stages: Sequence[Stage] = STAGES, limit: int = 32) -> list[tuple[int, Stage]]:
    """The units of these stages that anyone may take up now, those in line longest first."""
    with database.read() as session:
        found = (
            select(Unit.id, Unit.stage).where(open_to_all(), Unit.stage.in_(stages)).order_by(Unit.due, Unit.id).limit(limit)
        )
        return [(number, stage) for number, stage in session.execute(found).tuples()]


def census(database: Database) -> dict[tuple[str, str], int]:
    """How many units of versions on their way there are, by stage and state."""
    with database.read() as session:
        found = select(Unit.stage, Unit.state, func.count()).where(running()).group_by(Unit.stage, Unit.state)
        return {(stage, state): count for stage, state, count in session.execute(found).tuples()}


def depth(database: Database) -> dict[str, int]:
    """How many units anyone may take up now, by stage."""
    with database.read() as session:
        found = select(Unit.stage, func.count()).where(open_to_all()).group_by(Unit.stage)
        return dict(session.execute(found).tuples().all())


def longest_wait(database: Database) -> float:
    """Seconds since the first in line could have been taken up; 0 if nothing is in line."""
    with database.read() as session:
        waited = session.scalar(select(now() - func.min(Unit.due)).where(open_to_all()))
        return float(waited or 0.0)
