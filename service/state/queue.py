"""The queue of units: which of them may be leased now, and in which order.

The broker's messages only make a worker look here: what it works on is the first unit of this queue that it can lease.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, case, func, or_, select

from service.state.database import Database
from service.state.lifecycle import ALL_STAGES, STAGE_OF, Stage
from service.state.tables import Unit, Version, now


def version_active() -> Any:
    """Condition: the unit's version is in a state that waits for units, or its upload is still to be read."""
    unread = and_(Unit.version_id.is_(None), Unit.state.in_(("ready", "leased")))
    return or_(Unit.version_id.in_(select(Version.id).where(Version.state.in_(STAGE_OF))), unread)


def available() -> Any:
    """Condition: the unit is ready and its backoff is over, or its lease has expired."""
    ready = and_(Unit.state == "ready", Unit.not_before <= now())
    expired = and_(Unit.state == "leased", Unit.lease_until <= now())
    return and_(or_(ready, expired), version_active())


def available_since() -> Any:
    """When the unit became available: seconds since the epoch."""
    return case((Unit.state == "leased", Unit.lease_until), else_=Unit.not_before)


def next_units(database: Database, stages: Sequence[Stage] = ALL_STAGES, limit: int = 32) -> list[tuple[int, Stage]]:
    """Ids and stages of the available units of these stages: those that have been available longest first."""
    with database.read() as session:
        query = select(Unit.id, Unit.stage).where(available(), Unit.stage.in_(stages))
        rows = session.execute(query.order_by(available_since(), Unit.id).limit(limit))
        return [(unit, stage) for unit, stage in rows.tuples()]


def count_active(database: Database) -> dict[tuple[str, str], int]:
    """Units of active versions, by stage and state."""
    with database.read() as session:
        query = select(Unit.stage, Unit.state, func.count()).where(version_active()).group_by(Unit.stage, Unit.state)
        return {(stage, state): count for stage, state, count in session.execute(query).tuples()}


def depth(database: Database) -> dict[str, int]:
    """Units that are available, by stage."""
    with database.read() as session:
        query = select(Unit.stage, func.count()).where(available()).group_by(Unit.stage)
        return dict(session.execute(query).tuples().all())


def longest_wait(database: Database) -> float:
    """Seconds for which the first unit of the queue has been available; 0 if the queue is empty."""
    with database.read() as session:
        seconds = session.scalar(select(now() - func.min(available_since())).where(available()))
        return float(seconds or 0.0)
