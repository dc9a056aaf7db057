"""Webhooks: who wants to be told, what they are told, and how often that was tried.

What is to be told is written in the transaction in which it happens, so that it is neither lost nor made up.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from service.state.database import Database
from service.state.tables import Delivery, Webhook, now

ATTEMPTS = 10  # times that a delivery is tried
BACKOFF = 5.0  # seconds before the second attempt; doubled for each that follows
CLAIM = 60.0  # seconds for which a delivery is its sender's alone


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery to be tried now."""

    id: int
    url: str
    secret: str
    payload: dict[str, Any]
    at: float
    attempts: int  # this one included


def create(database: Database, tenant: str, url: str, secret: str) -> Webhook:
    with database.write() as session:
        session.expire_on_commit = False
        made = Webhook(tenant=tenant, url=url, secret=secret, created=now())
        session.add(made)
        session.flush()
        session.refresh(made)
        return made


def listed(database: Database, tenant: str) -> list[Webhook]:
    with database.read() as session:
        return list(session.scalars(select(Webhook).where(Webhook.tenant == tenant).order_by(Webhook.id)))


def remove(database: Database, tenant: str, webhook_id: int) -> bool:
    """Whether there was one."""
    with database.write() as session:
        gone = delete(Webhook).where(Webhook.tenant == tenant, Webhook.id == webhook_id).returning(Webhook.id)
        return session.scalar(gone) is not None


def announce(session: Session, tenant: str, kind: str, data: dict[str, Any]) -> None:
    """Put it in line for each webhook of the tenant."""
    for webhook_id in session.scalars(select(Webhook.id).where(Webhook.tenant == tenant)).all():
        values = {"webhook_id": webhook_id, "payload": {"type": kind, "data": data}, "at": now(), "due": now()}
        session.execute(insert(Delivery).values(values))


def claim(database: Database) -> Due | None:
    """Take the delivery that is due longest: nobody else is given it for a while."""
    with database.write() as session:
        first = select(Delivery.id).where(Delivery.state == "pending", Delivery.due <= now()).order_by(Delivery.due).limit(1)
        row = session.execute(
            update(Delivery)
            .where(Delivery.id.in_(first.scalar_subquery()), Delivery.due <= now())
            .values(due=now() + CLAIM, attempts=Delivery.attempts + 1)
            .returning(Delivery.id, Delivery.webhook_id, Delivery.payload, Delivery.at, Delivery.attempts)
        ).one_or_none()
        if row is None:
            return None
        webhook = session.get_one(Webhook, row.webhook_id)
        return Due(row.id, webhook.url, webhook.secret, row.payload, row.at, row.attempts)


def settle(database: Database, due: Due, status: int | None, error: str | None) -> None:
    """Note how an attempt went: it arrived, is tried again later, or is given up."""
    if error is None:
        state, wait = "delivered", 0.0
    else:
        state, wait = ("abandoned", 0.0) if due.attempts >= ATTEMPTS else ("pending", BACKOFF * 2 ** (due.attempts - 1))
    with database.write() as session:
        values = {"state": state, "due": now() + wait, "status": status, "error": error}
        session.execute(update(Delivery).where(Delivery.id == due.id, Delivery.attempts == due.attempts).values(values))


def log(database: Database, tenant: str, webhook_id: int, limit: int = 100) -> list[Delivery] | None:
    """The last deliveries of a webhook, the newest first; None if the tenant has no such webhook."""
    with database.read() as session:
        webhook = session.get(Webhook, webhook_id)
        if webhook is None or webhook.tenant != tenant:
            return None
        found = select(Delivery).where(Delivery.webhook_id == webhook_id).order_by(Delivery.id.desc()).limit(limit)
        return list(session.scalars(found))
