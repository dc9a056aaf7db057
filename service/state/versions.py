"""Versions: created, listed and looked up. How they move from state to state: `transitions`; how they go: `deletions`."""

from typing import Any

from sqlalchemy import case, delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from service import tracing
from service.caps import NO_CAPS, Caps
from service.state import datasets, events, idempotency, transitions
from service.state.database import Database, clock
from service.state.idempotency import IdempotentRequest
from service.state.lifecycle import ALL_STAGES, ENDED, EVALUATION, PUBLISHED, State
from service.state.tables import Unit, Version


class VersionRunning(Exception):
    """A version of the dataset has not ended; its number is the argument."""


def create(
    database: Database,
    tenant: str,
    dataset: str,
    spec: dict[str, Any],
    request: IdempotentRequest | None = None,
    *,
    refresh: bool = False,
    caps: Caps = NO_CAPS,
    priority: int = 0,
) -> int:
    """Create the next version of a dataset, with its first unit in the queue; return its id.

    The same idempotent request again gives the version that it created before, whatever the caps. Raises KeyReused,
    CapReached, and VersionRunning for a refresh while a version of the dataset has not ended.
    """
    options: dict[str, Any] = {"refresh": refresh, "caps": caps, "priority": priority}
    try:
        with database.write() as session:
            return insert_version(session, tenant, dataset, spec, request, **options)
    except IntegrityError:  # another request has used the key meanwhile, for another dataset
        with database.write() as session:
            return insert_version(session, tenant, dataset, spec, request, **options)


def insert_version(
    session: Session,
    tenant: str,
    dataset: str,
    spec: dict[str, Any],
    request: IdempotentRequest | None = None,
    *,
    refresh: bool = False,
    caps: Caps = NO_CAPS,
    priority: int = 0,
) -> int:
    """`create` within a transaction."""
    row = datasets.lock(session, tenant, dataset)
    if request and (earlier := idempotency.earlier_version(session, tenant, request)) is not None:
        return earlier
    if refresh and (number := running(session, tenant, dataset)):
        raise VersionRunning(number)
    caps.check_versions(session, tenant)
    of_dataset = Version.tenant == tenant, Version.dataset == dataset
    previous = select(func.max(Version.number)).where(*of_dataset, Version.state.in_(PUBLISHED))
    # A refresh that ended as unchanged holds nothing: its number is free again.
    empty = delete(Version).where(*of_dataset, Version.number == row.last, Version.state == "unchanged")
    if session.scalar(empty.returning(Version.id)) is None:
        row.last += 1
    version = Version(
        tenant=tenant,
        dataset=dataset,
        number=row.last,
        state="queued",
        entered={"queued": clock(session)},
        spec=spec,
        priority=priority,
        previous=session.scalar(previous) if refresh else None,
    )
    session.add(version)
    session.flush()
    transitions.add_units(session, version, "plan", 1)
    events.append(session, version.id, "state", {"state": "queued", **tracing.origin()})
    if request:
        idempotency.remember(session, tenant, request, version.id)
    return version.id


def running(session: Session, tenant: str, dataset: str) -> int | None:
    """The number of a version of the dataset that has not ended."""
    unfinished = Version.tenant == tenant, Version.dataset == dataset, ~Version.state.in_(ENDED)
    return session.scalar(select(func.max(Version.number)).where(*unfinished))


def refresh_of(session: Session, version: Version) -> int | None:
    """The number of a version that has not ended and refreshes this one."""
    of_dataset = Version.tenant == version.tenant, Version.dataset == version.dataset
    refresh = *of_dataset, Version.previous == version.number, ~Version.state.in_(ENDED)
    return session.scalar(select(Version.number).where(*refresh).limit(1))


def staying(database: Database, version: Version) -> list[int]:
    """The numbers of the versions of its dataset that are not being removed."""
    of_dataset = Version.tenant == version.tenant, Version.dataset == version.dataset
    with database.read() as session:
        return list(session.scalars(select(Version.number).where(*of_dataset, Version.state != "deleting")))


def get(database: Database, version_id: int) -> Version | None:
    with database.read() as session:
        return session.get(Version, version_id)


def find(database: Database, tenant: str, dataset: str, number: int) -> Version | None:
    with database.read() as session:
        criteria = Version.tenant == tenant, Version.dataset == dataset, Version.number == number
        return session.scalars(select(Version).where(*criteria)).one_or_none()


def page(
    database: Database, tenant: str, *, dataset: str | None, state: State | None, before: int | None, limit: int
) -> list[Version]:
    """A tenant's versions, the newest first, with ids below `before`."""
    criteria = [Version.tenant == tenant]
    criteria += [Version.dataset == dataset] if dataset else []
    criteria += [Version.state == state] if state else []
    criteria += [Version.id < before] if before else []
    with database.read() as session:
        return list(session.scalars(select(Version).where(*criteria).order_by(Version.id.desc()).limit(limit)))


def unit_progress(database: Database, version_id: int) -> dict[str, dict[str, int]]:
    """Units of each stage, in the order of work: `done`, and `of` how many."""
    done = func.sum(case((Unit.state == "done", 1), else_=0))
    with database.read() as session:
        query = select(Unit.stage, done, func.count()).where(Unit.version_id == version_id).group_by(Unit.stage)
        rows = sorted(session.execute(query).tuples(), key=lambda row: ALL_STAGES.index(row[0]))
        return {stage: {"done": int(n), "of": of} for stage, n, of in rows}


def hold(database: Database, version_id: int) -> str | None:
    """Why a version is held, as the report of its last stage says; None where it does not."""
    query = select(Unit.report).where(Unit.version_id == version_id, Unit.stage.in_(EVALUATION))
    with database.read() as session:
        reports = session.scalars(query).all()
    return next((report["held"] for report in reports if report and "held" in report), None)


def count_by_state(database: Database) -> dict[str, int]:
    with database.read() as session:
        return dict(session.execute(select(Version.state, func.count()).group_by(Version.state)).tuples().all())
