"""Rows that are not needed any more, by their age: removed a few at a time. Safe to run anywhere, by several."""

from typing import Any

from sqlalchemy import delete, inspect, select, tuple_

from service.state.database import Database
from service.state.lifecycle import ENDED
from service.state.tables import Base, Delivery, Event, IdempotencyKey, Upload, Version, now

ROWS = 500  # removed in one transaction, so that nobody waits long for it
KINDS = ("state", "progress", "unit")  # of events: their index begins with it


def remove_events(database: Database, days: float) -> int:
    """Events of versions that have ended; return how many there were."""
    ended = Event.version_id.in_(select(Version.id).where(Version.state.in_(ENDED)))
    return remove(database, Event, Event.kind.in_(KINDS), older(Event.at, days), ended)


def remove_deliveries(database: Database, days: float) -> int:
    """Deliveries that were made or abandoned."""
    return remove(database, Delivery, Delivery.state != "pending", older(Delivery.not_before, days))


def remove_idempotency_keys(database: Database, days: float) -> int:
    """Idempotency keys of versions that were created so long ago."""
    old = select(Version.id).where(older(Version.entered["queued"].as_float(), days))
    return remove(database, IdempotencyKey, IdempotencyKey.version_id.in_(old))


def remove_uploads(database: Database, days: float) -> int:
    """Uploads that were read, or failed, with their units."""
    return remove(database, Upload, older(Upload.ended, days))


def older(column: Any, days: float) -> Any:
    return column < now() - days * 86400


def remove(database: Database, table: type[Base], *criteria: Any) -> int:
    """Remove the rows that meet all criteria; return how many there were."""
    key = inspect(table).primary_key
    statement = delete(table).where(tuple_(*key).in_(select(*key).where(*criteria).limit(ROWS))).returning(*key)
    total = 0
    while True:
        with database.write() as session:
            removed = session.execute(statement).all()
        total += len(removed)
        if len(removed) < ROWS:
            return total
