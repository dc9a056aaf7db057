"""The queue of units: which of them may be leased now, and in which order.

The broker's messages only make a worker look here: what it works on is the first unit of this queue that it can lease. The
order is fair: the highest priority first, then the tenant with the fewest running units, then what has waited longest.
"""

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import and_, bindparam, case, func, or_, select, tuple_
from sqlalchemy.orm import Session

from service.state.database import Database
from service.state.lifecycle import ALL_STAGES, STAGE_OF, Stage
from service.state.tables import Unit, Upload, Version, now

READING = ("waiting", "reading")  # states of an upload that waits for its unit
LARGE = 8  # versions, the first in the order, of which more than the first unit is looked at


def version_active() -> Any:
    """Condition: the unit is of the stage that its version, by its state, or its upload waits for."""
    waiting = tuple_(Version.state, Unit.stage).in_(list(STAGE_OF.items()))
    version = select(Version.id).where(Version.id == Unit.version_id, waiting).exists()
    return or_(version, select(Upload.id).where(Upload.id == Unit.upload_id, Upload.state.in_(READING)).exists())


def moment() -> Any:
    """The time of a query, taken once: only then can PostgreSQL look for it in an index."""
    return select(now()).scalar_subquery()


def ready() -> Any:
    return and_(Unit.state == "ready", Unit.not_before <= moment())


def expired() -> Any:
    return and_(Unit.state == "leased", Unit.lease_until <= moment())


def available() -> Any:
    """Condition: the unit is ready and its backoff is over, or its lease has expired."""
    return and_(or_(ready(), expired()), version_active())


def available_since() -> Any:
    """When the unit became available: seconds since the epoch."""
    return case((Unit.state == "leased", Unit.lease_until), else_=Unit.not_before)


class Entry(NamedTuple):
    """Available units of one version, or of one upload."""

    tenant: str
    priority: int
    since: float  # when the first of them became available
    stage: Stage
    first: int  # id of that unit
    version: int | None = None  # id of the row, if the version may have more of them


def next_units(
    database: Database, stages: Sequence[Stage] = ALL_STAGES, limit: int = 32, running_cap: int = 0
) -> list[tuple[int, Stage]]:
    """Ids and stages of the available units of these stages, in the order in which they may be leased.

    Of a tenant's units each ranks as if those before it were running; beyond `running_cap` (0: none) it has none here. Units
    of a version that are alike come in random order, so that workers that look at the same moment try different ones.
    """
    with database.read() as session:
        running = count_running(session)
        entries = [*ready_of_versions(session, stages), *ready_of_uploads(session, stages), *expired_leases(session, stages)]
        entries.sort(key=lambda entry: (-entry.priority, running[entry.tenant], entry.since, entry.first))
        large = [entry for entry in entries if entry.version is not None][:LARGE]
        units = {entry.version: ready_units(session, entry, limit) for entry in large}
    ranked = []
    for entry in entries:
        for unit in units.get(entry.version, [entry.first]):
            if not running_cap or running[entry.tenant] < running_cap:
                ranked.append((-entry.priority, running[entry.tenant], entry.since, unit, entry.stage))
            running[entry.tenant] += 1
    return [(unit, stage) for *_, unit, stage in sorted(ranked, key=lambda rank: rank[:3])[:limit]]


def count_running(session: Session, *criteria: Any) -> Counter[str]:
    """Leased units by tenant."""
    leased = Unit.state == "leased", Unit.lease_until > moment()
    query = select(Unit.tenant, func.count()).where(*leased, *criteria).group_by(Unit.tenant)
    return Counter(dict(session.execute(query).tuples().all()))


def ready_of_versions(session: Session, stages: Sequence[Stage]) -> list[Entry]:
    """An entry for each active version with ready units. Only its first one is looked at, by the index: one version may have
    100,000."""
    stage_of = {state: stage for state, stage in STAGE_OF.items() if stage in stages}
    stage = case(stage_of, value=Version.state)
    of_version = select(Unit).where(Unit.version_id == Version.id, Unit.stage == stage, ready()).correlate(Version)
    first = of_version.order_by(Unit.not_before).limit(1)
    columns = Version.tenant, Version.priority, Version.state, Version.id, Version.unit_counts
    firsts = first.with_only_columns(Unit.id).scalar_subquery(), first.with_only_columns(Unit.not_before).scalar_subquery()
    rows = session.execute(select(*columns, *firsts).where(Version.state.in_(stage_of))).tuples()
    return [
        Entry(tenant, priority, since, stage_of[state], unit, version if counts.get(stage_of[state], 1) > 1 else None)
        for tenant, priority, state, version, counts, unit, since in rows
        if unit is not None
    ]


READY_UNITS = (  # of a version: written once, as it is read for several versions at each look
    select(Unit.id)
    .where(Unit.version_id == bindparam("version"), Unit.stage == bindparam("stage"), ready())
    .order_by(Unit.not_before)
    .limit(bindparam("limit"))
)


def ready_units(session: Session, entry: Entry, limit: int) -> list[int]:
    """The first ready units of a version, in random order."""
    values = {"version": entry.version, "stage": entry.stage, "limit": limit}
    units = list(session.scalars(READY_UNITS, values))
    random.shuffle(units)
    return units


def ready_of_uploads(session: Session, stages: Sequence[Stage]) -> list[Entry]:
    """An entry for each upload that waits to be read."""
    query = select(Unit.tenant, Unit.priority, Unit.not_before, Unit.stage, Unit.id).where(
        Unit.version_id.is_(None), ready(), Unit.stage.in_(stages), version_active()
    )
    return [Entry(*row) for row in session.execute(query).tuples()]


def expired_leases(session: Session, stages: Sequence[Stage]) -> list[Entry]:
    """An entry for each unit whose worker is dead."""
    query = select(Unit.tenant, Unit.priority, available_since(), Unit.stage, Unit.id).where(
        expired(), Unit.stage.in_(stages), version_active()
    )
    return [Entry(*row) for row in session.execute(query).tuples()]


def count_active(database: Database) -> dict[tuple[str, str], int]:
    """Units of active versions, by stage and state."""
    active = Version.state.in_(STAGE_OF)
    with database.read() as session:
        query = select(Unit.stage, Unit.state, func.count()).join(Version, Version.id == Unit.version_id).where(active)
        rows = session.execute(query.group_by(Unit.stage, Unit.state)).tuples()
        return {(stage, state): count for stage, state, count in rows}


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
