"""Webhooks: where the ends of a tenant's versions are posted, the secrets that sign, and whether anything is sent."""

from collections.abc import Mapping

from sqlalchemy import delete, select, update

from service.state.database import Database
from service.state.tables import Webhook, now

ROTATION = 24 * 3600.0  # seconds for which the secret before signs as well


def create(database: Database, tenant: str, url: str, secret: str) -> Webhook:
    with database.write() as session:
        session.expire_on_commit = False
        webhook = Webhook(tenant=tenant, url=url, secret=secret, created=now())
        session.add(webhook)
        session.flush()
        session.refresh(webhook)
        return webhook


def list_all(database: Database, tenant: str) -> list[Webhook]:
    with database.read() as session:
        return list(session.scalars(select(Webhook).where(Webhook.tenant == tenant).order_by(Webhook.id)))


def get(database: Database, tenant: str, webhook_id: int) -> Webhook | None:
    with database.read() as session:
        own = Webhook.tenant == tenant, Webhook.id == webhook_id
        return session.scalars(select(Webhook).where(*own)).one_or_none()


def remove(database: Database, tenant: str, webhook_id: int) -> bool:
    """Whether there was one."""
    with database.write() as session:
        removal = delete(Webhook).where(Webhook.tenant == tenant, Webhook.id == webhook_id).returning(Webhook.id)
        return session.scalar(removal) is not None


def rotate(database: Database, tenant: str, webhook_id: int, secret: str) -> Webhook | None:
    """Sign with a new secret, and for ROTATION seconds with the one before as well. None if there is no such webhook."""
    values = {"secret": secret, "previous_secret": Webhook.secret, "previous_until": now() + ROTATION}
    return change(database, tenant, webhook_id, values)


def enable(database: Database, tenant: str, webhook_id: int) -> Webhook | None:
    """Send again to a webhook that was disabled. None if there is no such webhook."""
    return change(database, tenant, webhook_id, {"disabled": None, "reason": None})


def change(database: Database, tenant: str, webhook_id: int, values: Mapping[str, object]) -> Webhook | None:
    with database.write() as session:
        session.expire_on_commit = False
        own = Webhook.tenant == tenant, Webhook.id == webhook_id
        return session.scalar(update(Webhook).where(*own).values(values).returning(Webhook))
