"""Webhooks and their deliveries.

A delivery is written in the transaction in which the event happens (an outbox), so that none is lost and none is sent of
something that was rolled back.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from service.state.database import Database
from service.state.tables import Delivery, Webhook, now

ATTEMPTS = 10  # attempts at a delivery, after which it is abandoned
BACKOFF = 5.0  # seconds before the second attempt; doubled for each that follows
CLAIM = 60.0  # seconds for which a claimed delivery is its sender's alone


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    """A delivery to be attempted now, with the webhook that it goes to."""

    id: int
    url: str
    secret: str
    payload: dict[str, Any]
    at: float  # when the event happened: seconds since the epoch
    attempts: int  # this one included


def create_webhook(database: Database, tenant: str, url: str, secret: str) -> Webhook:
    with database.write() as session:
        session.expire_on_commit = False
        webhook = Webhook(tenant=tenant, url=url, secret=secret, created=now())
        session.add(webhook)
        session.flush()
        session.refresh(webhook)
        return webhook


def list_webhooks(database: Database, tenant: str) -> list[Webhook]:
    with database.read() as session:
        return list(session.scalars(select(Webhook).where(Webhook.tenant == tenant).order_by(Webhook.id)))


def remove_webhook(database: Database, tenant: str, webhook_id: int) -> bool:
    """Whether there was one."""
    with database.write() as session:
        removal = delete(Webhook).where(Webhook.tenant == tenant, Webhook.id == webhook_id).returning(Webhook.id)
        return session.scalar(removal) is not None


def enqueue(session: Session, tenant: str, kind: str, data: dict[str, Any]) -> None:
    """Write a delivery for each webhook of the tenant."""
    for webhook_id in session.scalars(select(Webhook.id).where(Webhook.tenant == tenant)).all():
        values = {"webhook_id": webhook_id, "payload": {"type": kind, "data": data}, "at": now(), "not_before": now()}
        session.execute(insert(Delivery).values(values))


def claim(database: Database) -> ClaimedDelivery | None:
    """Claim the pending delivery that has waited longest: nobody else can for CLAIM seconds. None if none is due."""
    pending = Delivery.state == "pending", Delivery.not_before <= now()
    first = select(Delivery.id).where(*pending).order_by(Delivery.not_before).limit(1)
    with database.write() as session:
        row = session.execute(
            update(Delivery)
            .where(Delivery.id.in_(first.scalar_subquery()), Delivery.not_before <= now())
            .values(not_before=now() + CLAIM, attempts=Delivery.attempts + 1)
            .returning(Delivery.id, Delivery.webhook_id, Delivery.payload, Delivery.at, Delivery.attempts)
        ).one_or_none()
        if row is None:
            return None
        webhook = session.get_one(Webhook, row.webhook_id)
        return ClaimedDelivery(row.id, webhook.url, webhook.secret, row.payload, row.at, row.attempts)


def record_attempt(database: Database, claimed: ClaimedDelivery, status: int | None, error: str | None) -> None:
    """Record the outcome of an attempt: delivered, to be tried again after a backoff, or abandoned."""
    state, backoff = "delivered", 0.0
    if error is not None and claimed.attempts >= ATTEMPTS:
        state = "abandoned"
    elif error is not None:
        state, backoff = "pending", BACKOFF * 2 ** (claimed.attempts - 1)
    values = {"state": state, "not_before": now() + backoff, "status": status, "error": error}
    same_attempt = Delivery.id == claimed.id, Delivery.attempts == claimed.attempts
    with database.write() as session:
        session.execute(update(Delivery).where(*same_attempt).values(values))


def list_deliveries(database: Database, tenant: str, webhook_id: int, limit: int = 100) -> list[Delivery] | None:
    """The last deliveries of a webhook, the newest first; None if the tenant has no such webhook."""
    with database.read() as session:
        webhook = session.get(Webhook, webhook_id)
        if webhook is None or webhook.tenant != tenant:
            return None
        query = select(Delivery).where(Delivery.webhook_id == webhook_id).order_by(Delivery.id.desc()).limit(limit)
        return list(session.scalars(query))
