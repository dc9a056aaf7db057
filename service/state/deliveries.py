"""Deliveries of webhooks: claimed by one sender at a time, tried again for days, abandoned in the end.

A delivery is written in the transaction in which the event happens (an outbox), so that none is lost and none is sent of
something that was rolled back. Every transaction locks the webhook before its deliveries.
"""

import random
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session, aliased

from service.state.database import Database, clock
from service.state.tables import Delivery, Webhook, now

# Seconds from an attempt to the next: the schedule of Standard Webhooks, of three days. After the last one it is abandoned.
BACKOFF = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
JITTER = 0.1  # share of the backoff that is added at most, by chance, so that not all that failed together comes together
CLAIM = 60.0  # seconds for which a claimed delivery is its sender's alone
FAILING = 5 * 86_400.0  # seconds without a success, after which an abandoned delivery disables its webhook
GONE = 410  # the status by which a receiver says that it wants nothing any more

Outcome = Literal["delivered", "failed", "abandoned"]


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    """A delivery to be attempted now, with the webhook that it goes to."""

    id: int
    webhook: int
    url: str
    secrets: tuple[str, ...]  # each signs; two of them while the secret is rotated
    payload: dict[str, Any]
    at: float  # when the event happened: seconds since the epoch
    attempts: int  # this one included


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an attempt: the status of the answer, if there was one, and what was wrong, if anything."""

    status: int | None
    error: str | None = None
    retry_after: float = 0.0  # seconds that the receiver wants to be left alone


def enqueue(session: Session, tenant: str, kind: str, data: dict[str, Any]) -> None:
    """Write a delivery for each webhook of the tenant that is not disabled."""
    enabled = Webhook.tenant == tenant, Webhook.disabled.is_(None)
    for webhook_id in session.scalars(select(Webhook.id).where(*enabled)).all():
        add(session, webhook_id, kind, data)


def add(session: Session, webhook_id: int, kind: str, data: dict[str, Any]) -> int:
    """Write a delivery; return its id."""
    values = {"webhook_id": webhook_id, "payload": {"type": kind, "data": data}, "at": now(), "not_before": now()}
    return session.execute(insert(Delivery).values(values).returning(Delivery.id)).scalar_one()


def enqueue_test(database: Database, webhook_id: int) -> Delivery:
    """A delivery of the kind `webhook.test` for one webhook."""
    with database.write() as session:
        session.expire_on_commit = False
        return session.get_one(Delivery, add(session, webhook_id, "webhook.test", {"webhook": webhook_id}))


def claim(database: Database, excluded: Collection[int] = ()) -> ClaimedDelivery | None:
    """Claim the oldest delivery that is due: nobody else can for CLAIM seconds. None if none is due.

    Of each webhook one delivery is claimed at a time, and none of the `excluded` and disabled ones.
    """
    other = aliased(Delivery)
    in_flight = select(other.id).where(other.webhook_id == Delivery.webhook_id, other.state == "sending")
    free = (
        Delivery.state.in_(("pending", "sending")),  # a sender that died left its claim to expire
        Delivery.not_before <= now(),
        ~in_flight.where(other.not_before > now()).exists(),
    )
    webhooks = Webhook.disabled.is_(None), Webhook.id.not_in(excluded)
    first = select(Delivery.id, Webhook).join(Webhook, Webhook.id == Delivery.webhook_id).where(*free, *webhooks)
    locked = first.order_by(Delivery.id).limit(1).with_for_update(of=Webhook, key_share=True, skip_locked=True)
    with database.write() as session:
        row = session.execute(locked).one_or_none()
        if row is None:
            return None
        delivery_id, webhook = row.tuple()
        claimed = session.execute(  # looked at again: another sender may have had the lock a moment ago
            update(Delivery)
            .where(Delivery.id == delivery_id, *free)
            .values(state="sending", not_before=now() + CLAIM, attempts=Delivery.attempts + 1)
            .returning(Delivery.payload, Delivery.at, Delivery.attempts)
        ).one_or_none()
        if claimed is None:
            return None
        rotated = (webhook.previous_until or 0.0) > clock(session)
        secrets = (webhook.secret, *([webhook.previous_secret] if rotated and webhook.previous_secret else []))
        return ClaimedDelivery(delivery_id, webhook.id, webhook.url, secrets, *claimed.tuple())


def outcome_of(claimed: ClaimedDelivery, answer: Answer) -> Outcome:
    if answer.error is None:
        return "delivered"
    return "abandoned" if answer.status == GONE or claimed.attempts > len(BACKOFF) else "failed"


def record_attempt(database: Database, claimed: ClaimedDelivery, answer: Answer) -> Outcome:
    """Record an attempt: delivered, to be tried again after a backoff, or abandoned; the last may disable its webhook."""
    outcome, delay = outcome_of(claimed, answer), 0.0
    if outcome == "failed":
        delay = max(BACKOFF[claimed.attempts - 1], answer.retry_after) * random.uniform(1, 1 + JITTER)
    values = {
        "state": "pending" if outcome == "failed" else outcome,
        "not_before": now() + delay,  # of an ended one: when it ended
        "status": answer.status,
        "error": answer.error,
    }
    same_attempt = Delivery.id == claimed.id, Delivery.attempts == claimed.attempts, Delivery.state == "sending"
    with database.write() as session:
        webhook = session.get(Webhook, claimed.webhook, with_for_update={"key_share": True})
        recorded = session.scalar(update(Delivery).where(*same_attempt).values(values).returning(Delivery.id))
        if webhook is not None and recorded is not None and outcome == "abandoned":
            if answer.status == GONE:
                disable(session, webhook, f"the receiver answered {GONE} Gone: it wants nothing any more")
            elif (seconds := failing_for(session, webhook.id)) >= FAILING:
                disable(session, webhook, f"nothing has arrived for {seconds / 86_400:.0f} days; at last: {answer.error}")
    return outcome


def failing_for(session: Session, webhook_id: int) -> float:
    """Seconds since the first event after the last success that did not arrive at its first attempt."""
    of_webhook = Delivery.webhook_id == webhook_id
    success = select(func.max(Delivery.not_before)).where(of_webhook, Delivery.state == "delivered").scalar_subquery()
    failed = of_webhook, Delivery.state != "delivered", Delivery.error.is_not(None)
    since = session.scalar(select(func.min(Delivery.at)).where(*failed, Delivery.at > func.coalesce(success, 0)))
    return 0.0 if since is None else clock(session) - since


def disable(session: Session, webhook: Webhook, reason: str) -> None:
    """Send nothing to a webhook any more; what waits is abandoned."""
    webhook.disabled, webhook.reason = clock(session), reason
    waiting = Delivery.webhook_id == webhook.id, Delivery.state == "pending"
    values = {"state": "abandoned", "not_before": now(), "error": f"the webhook was disabled: {reason}"}
    session.execute(update(Delivery).where(*waiting).values(values))


def retry(database: Database, webhook_id: int, delivery_id: int) -> bool:
    """Send one that has ended anew, under the same id; False if the webhook has no such delivery."""
    ended = Delivery.webhook_id == webhook_id, Delivery.id == delivery_id, Delivery.state.in_(("delivered", "abandoned"))
    values = {"state": "pending", "attempts": 0, "not_before": now(), "status": None, "error": None}
    with database.write() as session:
        return session.scalar(update(Delivery).where(*ended).values(values).returning(Delivery.id)) is not None


def list_deliveries(database: Database, webhook_id: int, limit: int = 100) -> list[Delivery]:
    """The last deliveries of a webhook, the newest first."""
    with database.read() as session:
        query = select(Delivery).where(Delivery.webhook_id == webhook_id).order_by(Delivery.id.desc()).limit(limit)
        return list(session.scalars(query))
