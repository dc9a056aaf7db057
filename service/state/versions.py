"""Versions: asked for, moved on, cancelled, tried again, listed. Every change of state is a compare-and-set."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from service.state.database import Database
from service.state.flow import DURING, ENDED, STAGE_OF, STAGES, Stage, State, following
from service.state.tables import Event, Unit, Version, now


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


def create(database: Database, tenant: str, dataset: str, spec: dict[str, Any]) -> int:
    """Ask for the next version of a dataset; return its id. Its first unit is in line."""
    with database.write() as session:
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
        return version.id


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


def cancel(database: Database, version_id: int) -> None:
    """Cancel: at once if no unit is held, else when the holders have noticed."""
    with database.write() as session:
        stop(session, version_id, "cancelling")
        settle(session, version_id)


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
