"""Versions: asked for, moved on, cancelled, tried again, listed. Every change of state is a compare-and-set."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import case, delete, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from service import tracing
from service.state import deliveries
from service.state.database import Database
from service.state.lifecycle import DURING, ENDED, PUBLISHED, STAGE_OF, STAGES, Stage, State, following
from service.state.tables import Asked, Dataset, Event, Unit, Version, now


class KeyReused(Exception):
    """An idempotency key that another request has used."""


class Busy(Exception):
    """A version of the dataset is on its way; its number is the argument."""


def digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def locked(session: Session, tenant: str, name: str) -> Dataset:
    """The dataset's row, made when new. Two that ask for its next version wait for each other here."""
    into = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    session.execute(into(Dataset).values(tenant=tenant, name=name, last=0).on_conflict_do_nothing())
    return session.get_one(Dataset, (tenant, name), with_for_update=True)


def clock(session: Session) -> float:
    return float(session.execute(select(now())).scalar_one())


def note(session: Session, version_id: int, kind: str, data: dict[str, Any]) -> None:
    session.execute(insert(Event).values(version_id=version_id, at=now(), kind=kind, data=data))


def move(session: Session, version: Version, to: State) -> bool:
    """Change the state if nobody else has changed it meanwhile."""
    at = clock(session)
    moved = session.execute(
        update(Version)
        .where(Version.id == version.id, Version.state == version.state)
        .values(state=to, entered={**version.entered, to: at})
        .returning(Version.id)
    )
    if moved.one_or_none() is None:
        return False
    note(session, version.id, "state", {"state": to})
    if to in ENDED:
        told = {"dataset": version.dataset, "version": version.number, "state": to, "counts": version.counts}
        deliveries.announce(session, version.tenant, f"version.{to}", told)
    session.refresh(version)
    return True


def line_up(session: Session, version_id: int, stage: Stage, count: int) -> None:
    """Put a stage's units in line."""
    at = clock(session)
    rows = [{"version_id": version_id, "stage": stage, "number": n, "due": at} for n in range(count)]
    session.execute(insert(Unit), rows)


@dataclass(frozen=True, slots=True)
class Once:
    """An Idempotency-Key, and a digest of the request that it came with."""

    key: str
    body: str


def create(
    database: Database, tenant: str, dataset: str, spec: dict[str, Any], once: Once | None = None, *, refresh: bool = False
) -> int:
    """Ask for the next version of a dataset; return its id. Its first unit is in line.

    The same request again, by its key, is the version that it made before. Raises KeyReused when it asks for another, and
    Busy when a refresh is asked for while a version is on its way.
    """
    try:
        with database.write() as session:
            return ask(session, tenant, dataset, spec, once, refresh=refresh)
    except IntegrityError:  # another request has used the key meanwhile, for another dataset
        with database.write() as session:
            return ask(session, tenant, dataset, spec, once, refresh=refresh)


def ask(
    session: Session, tenant: str, dataset: str, spec: dict[str, Any], once: Once | None = None, *, refresh: bool = False
) -> int:
    """The same within a transaction."""
    row = locked(session, tenant, dataset)
    if once and (asked := session.get(Asked, (tenant, once.key))):
        if asked.digest != once.body:
            raise KeyReused(once.key)
        return asked.version_id
    if refresh and (number := on_its_way(session, tenant, dataset)):
        raise Busy(number)
    of_dataset = Version.tenant == tenant, Version.dataset == dataset
    previous = select(func.max(Version.number)).where(*of_dataset, Version.state.in_(PUBLISHED))
    # A run that found nothing to do has made nothing: its number is free again.
    idle = delete(Version).where(*of_dataset, Version.number == row.last, Version.state == "unchanged").returning(Version.id)
    if session.scalar(idle) is None:
        row.last += 1
    version = Version(
        tenant=tenant,
        dataset=dataset,
        number=row.last,
        state="queued",
        entered={"queued": clock(session)},
        spec=spec,
        previous=session.scalar(previous) if refresh else None,
    )
    session.add(version)
    session.flush()
    line_up(session, version.id, "plan", 1)
    note(session, version.id, "state", {"state": "queued", **tracing.origin()})
    if once:
        session.add(Asked(tenant=tenant, key=once.key, digest=once.body, version_id=version.id))
    return version.id


def on_its_way(session: Session, tenant: str, dataset: str) -> int | None:
    """The number of a version of the dataset that has not ended."""
    its = Version.tenant == tenant, Version.dataset == dataset, ~Version.state.in_(ENDED)
    return session.scalar(select(func.max(Version.number)).where(*its))


def remove(database: Database, version: Version) -> bool:
    """Forget a version that has ended; False if it has not. If it was the latest, the newest completed one is."""
    with database.write() as session:
        gone = delete(Version).where(Version.id == version.id, Version.state.in_(ENDED)).returning(Version.id)
        if session.scalar(gone) is None:
            return False
        row = locked(session, version.tenant, version.dataset)
        if row.latest == version.number:
            its = Version.tenant == row.tenant, Version.dataset == row.name, Version.state == "completed"
            row.latest = session.scalar(select(func.max(Version.number)).where(*its))
        return True


def refreshing(database: Database, version: Version) -> int | None:
    """The number of a version on its way that refreshes this one."""
    its = Version.tenant == version.tenant, Version.dataset == version.dataset, Version.previous == version.number
    with database.read() as session:
        return session.scalar(select(Version.number).where(*its, ~Version.state.in_(ENDED)).limit(1))


def find(database: Database, tenant: str, dataset: str, number: int) -> Version | None:
    with database.read() as session:
        wanted = (Version.tenant == tenant, Version.dataset == dataset, Version.number == number)
        return session.scalars(select(Version).where(*wanted)).one_or_none()


def page(
    database: Database, tenant: str, *, dataset: str | None, state: State | None, before: int | None, limit: int
) -> list[Version]:
    """A tenant's versions, the newest first, older than the version `before`."""
    wanted = [Version.tenant == tenant]
    wanted += [Version.dataset == dataset] if dataset else []
    wanted += [Version.state == state] if state else []
    wanted += [Version.id < before] if before else []
    with database.read() as session:
        return list(session.scalars(select(Version).where(*wanted).order_by(Version.id.desc()).limit(limit)))


def progress(database: Database, version_id: int) -> dict[str, dict[str, int]]:
    """Units of each stage: done, and of how many."""
    with database.read() as session:
        done = func.sum(case((Unit.state == "done", 1), else_=0))
        found = select(Unit.stage, done, func.count()).where(Unit.version_id == version_id).group_by(Unit.stage)
        return {stage: {"done": int(n), "of": of} for stage, n, of in session.execute(found).tuples()}


def get(database: Database, version_id: int) -> Version | None:
    with database.read() as session:
        return session.get(Version, version_id)


def origin(database: Database, version_id: int) -> dict[str, str]:
    """What asked for a version, as `tracing.origin` said it then: the first of its events has it."""
    with database.read() as session:
        first = select(Event.data).where(Event.version_id == version_id).order_by(Event.id).limit(1)
        return {name: value for name, value in (session.scalar(first) or {}).items() if name != "state"}


def recent(database: Database, seconds: float) -> list[dict[str, Any]]:
    """The reports of all shards that were generated in the last so many seconds."""
    with database.read() as session:
        found = select(Event.data).where(Event.kind == "unit", Event.at > now() - seconds)
        return [data["report"] for data in session.scalars(found) if data["stage"] == "generate"]


def by_state(database: Database) -> dict[str, int]:
    """How many versions are in each state."""
    with database.read() as session:
        return dict(session.execute(select(Version.state, func.count()).group_by(Version.state)).tuples().all())


def started(session: Session, version: Version, stage: Stage) -> None:
    """The first unit of a stage was taken up."""
    if version.state == "queued" and stage == "plan":
        move(session, version, "planning")


def advance(session: Session, version_id: int) -> None:
    """When a stage's last unit is done, put the next stage's in line. Safe to call at any time, by anyone."""
    version = session.get_one(Version, version_id, with_for_update=True)
    stage = STAGE_OF.get(version.state)
    if stage is None:
        return
    left = session.scalar(
        select(func.count()).where(Unit.version_id == version_id, Unit.stage == stage, Unit.state != "done")
    )
    if left:
        return
    after = following(stage, version.work)
    if after is None:
        end(session, version, stage)
    elif move(session, version, DURING[after]):
        line_up(session, version_id, after, version.work[after])


def end(session: Session, version: Version, stage: Stage) -> None:
    """All is done: a version ends as its last stage's report says it `ends`, else completed, and then is the latest."""
    reports = session.scalars(select(Unit.report).where(Unit.version_id == version.id, Unit.stage == stage)).all()
    to: State = next((report["ends"] for report in reports if report and "ends" in report), "completed")
    if move(session, version, to) and to == "completed":
        older = or_(Dataset.latest.is_(None), Dataset.latest < version.number)
        its = Dataset.tenant == version.tenant, Dataset.name == version.dataset
        session.execute(update(Dataset).where(*its, older).values(latest=version.number))


def stop(session: Session, version_id: int, state: State, error: str | None = None) -> None:
    """End a version that did not complete. Its units stay: they are out of line until it is tried again."""
    version = session.get_one(Version, version_id, with_for_update=True)
    if version.state not in ENDED and move(session, version, state):
        version.error = error


def cancel(database: Database, version_id: int) -> bool:
    """Cancel: at once if no unit is held, else when the holders have noticed. False if the version has ended."""
    with database.write() as session:
        if session.get_one(Version, version_id, with_for_update=True).state in ENDED:
            return False
        stop(session, version_id, "cancelling")
        settle(session, version_id)
        return True


def settle(session: Session, version_id: int) -> None:
    """A version that is being cancelled is cancelled when nobody works on it any more."""
    version = session.get_one(Version, version_id)
    if version.state != "cancelling":
        return
    held = session.scalar(
        select(func.count()).where(Unit.version_id == version_id, Unit.state == "leased", Unit.due > now())
    )
    if not held:
        stop(session, version_id, "cancelled")


def counted(counts: dict[str, Any], stage: Stage, report: dict[str, Any]) -> dict[str, Any]:
    """Counts of a version after another report: the sums of its shards', then what its manifest says."""
    if stage == "plan":
        return {"planned": report.get("planned", 0), **({"carried": report["carried"]} if report.get("carried") else {})}
    if stage == "finalize":
        return report
    if stage != "generate":
        return counts
    total = dict(counts)
    for name in ("generated", "kept", "dropped"):
        total[name] = total.get(name, 0) + report.get(name, 0)
    total["reasons"] = dict(Counter(counts.get("reasons", {})) + Counter(report.get("reasons", {})))
    return total


def events(database: Database, version_id: int, after: int, limit: int = 500) -> Sequence[Event]:
    """What happened since event `after`, in order."""
    with database.read() as session:
        found = select(Event).where(Event.version_id == version_id, Event.id > after).order_by(Event.id).limit(limit)
        return session.scalars(found).all()


def retry(database: Database, version_id: int) -> bool:
    """Put a failed or cancelled version back where it stopped, to do what is missing; False if it is in another state."""
    with database.write() as session:
        version = session.get_one(Version, version_id, with_for_update=True)
        if version.state not in ("failed", "cancelled"):
            return False
        units = session.execute(select(Unit.stage, Unit.state).where(Unit.version_id == version_id).distinct()).all()
        undone = [stage for stage in STAGES if any(s == stage and state != "done" for s, state in units)]
        last = [stage for stage in STAGES if any(s == stage for s, _ in units)][-1]
        session.execute(
            update(Unit)
            .where(Unit.version_id == version_id, Unit.state != "done")
            .values(state="ready", due=now(), attempts=0, error=None)
        )
        version.error = None
        move(session, version, DURING[undone[0] if undone else last])
        advance(session, version_id)
        return True
