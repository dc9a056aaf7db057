"""Versions: asked for, moved on, cancelled, tried again, listed. Every change of state is a compare-and-set."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import case, func, insert, select, update
from sqlalchemy.orm import Session

from service.state.database import Database
from service.state.flow import DURING, ENDED, STAGE_OF, STAGES, Stage, State, following
from service.state.tables import Asked, Event, Unit, Version, now


class KeyReused(Exception):
    """An idempotency key that another request has used."""


def digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def lock(session: Session, tenant: str, dataset: str) -> None:
    """Two that ask for the next number of a dataset wait for each other. (SQLite has one writer anyway.)"""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"{tenant}/{dataset}", 0))))


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
    session.refresh(version)
    return True


def line_up(session: Session, version_id: int, stage: Stage, count: int) -> None:
    """Put a stage's units in line."""
    at = clock(session)
    rows = [{"version_id": version_id, "stage": stage, "number": n, "due": at} for n in range(count)]
    session.execute(insert(Unit), rows)


def create(database: Database, tenant: str, dataset: str, spec: dict[str, Any], idempotency_key: str | None = None) -> int:
    """Ask for the next version of a dataset; return its id. Its first unit is in line.

    The same request again, by its key, is the version that it made before. Raises KeyReused when it asks for another.
    """
    with database.write() as session:
        lock(session, tenant, dataset)
        body = digest([dataset, spec])
        if idempotency_key and (asked := session.get(Asked, (tenant, idempotency_key))):
            if asked.digest != body:
                raise KeyReused(idempotency_key)
            return asked.version_id
        last = session.scalar(select(func.max(Version.number)).where(Version.tenant == tenant, Version.dataset == dataset))
        version = Version(
            tenant=tenant,
            dataset=dataset,
            number=(last or 0) + 1,
            state="queued",
            entered={"queued": clock(session)},
            spec=spec,
        )
        session.add(version)
        session.flush()
        line_up(session, version.id, "plan", 1)
        note(session, version.id, "state", {"state": "queued"})
        if idempotency_key:
            session.add(Asked(tenant=tenant, key=idempotency_key, digest=body, version_id=version.id))
        return version.id


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
    if move(session, version, DURING[after] if after else "completed") and after:
        line_up(session, version_id, after, version.work[after])


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
        return {"planned": report.get("planned", 0)}
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
