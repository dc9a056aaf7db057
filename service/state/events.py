"""Events of a version: its states, the reports of its units and messages of progress, in the order they happened."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from service.state.database import Database
from service.state.tables import Event, now


def append(session: Session, version_id: int, kind: str, data: dict[str, Any]) -> None:
    session.execute(insert(Event).values(version_id=version_id, at=now(), kind=kind, data=data))


def list_after(database: Database, version_id: int, event_id: int, limit: int = 500) -> Sequence[Event]:
    """A version's events after the one of this id, in order."""
    with database.read() as session:
        query = select(Event).where(Event.version_id == version_id, Event.id > event_id).order_by(Event.id).limit(limit)
        return session.scalars(query).all()


def last_id(database: Database, version_id: int) -> int:
    """The id of a version's newest event; 0 before the first."""
    with database.read() as session:
        return session.scalar(select(func.max(Event.id)).where(Event.version_id == version_id)) or 0


def origin(database: Database, version_id: int) -> dict[str, str]:
    """Request id and trace context of the request for a version (`tracing.origin`): they lie in its first event."""
    with database.read() as session:
        first = select(Event.data).where(Event.version_id == version_id).order_by(Event.id).limit(1)
        return {name: value for name, value in (session.scalar(first) or {}).items() if name != "state"}


def shard_reports(database: Database, seconds: float) -> list[dict[str, Any]]:
    """The reports of all shards that were generated in the last so many seconds."""
    with database.read() as session:
        query = select(Event.data).where(Event.kind == "unit", Event.at > now() - seconds)
        return [data["report"] for data in session.scalars(query) if data["stage"] == "generate"]
