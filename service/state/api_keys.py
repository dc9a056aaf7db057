"""API keys: created once, printed once, kept as a hash; they expire, are rotated and revoked."""

import contextlib
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from service.state.database import Database
from service.state.tables import ApiKey, now
from service.tenants import check_tenant

Scope = Literal["read", "submit", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
# What a key may have in place of the settings' caps of the same names.
LIMITS = ("versions_in_flight", "running_units", "bytes_stored", "streams", "webhooks", "requests_per_second", "priority")
PREFIX = "cp_"  # by which scanners for leaked secrets know one
USE_SECONDS = 60.0  # to which the time of the last use is kept: not every request is a write


@dataclass(frozen=True, slots=True)
class Caller:
    """The tenant of an API key, what the key may be used for, and its own limits by the names of LIMITS."""

    tenant: str
    scopes: tuple[str, ...]
    key: int = 0  # id of the API key
    limits: Mapping[str, Any] = field(default_factory=dict)  # the key's own, in place of the settings'

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes or "admin" in self.scopes


class KeyExpired(Exception):
    """The key was one until some time ago."""

    def __init__(self, key: ApiKey) -> None:
        day = datetime.fromtimestamp(key.expires or 0.0, UTC).strftime("%Y-%m-%d %H:%M UTC")
        super().__init__(
            f"this API key ({key.name!r}) expired on {day}; rotate it by 'counterpoise keys rotate {key.id}', "
            "or send another as 'Authorization: Bearer cp_...'"
        )


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def create(database: Database, name: str, tenant: str, scopes: Sequence[str]) -> str:
    """Create a key that is valid until it is revoked; return it. It cannot be read again."""
    return issue(database, name, tenant, scopes)[1]


def issue(
    database: Database,
    name: str,
    tenant: str,
    scopes: Sequence[str],
    lifetime: float | None = None,
    limits: Mapping[str, Any] | None = None,
) -> tuple[ApiKey, str]:
    """Create a key that expires after so many seconds, or never: its row, and the key."""
    with database.write() as session:
        session.expire_on_commit = False
        return add(session, name, check_tenant(tenant), scopes, lifetime, limits or {})


def add(
    session: Session, name: str, tenant: str, scopes: Sequence[str], lifetime: float | None, limits: Mapping[str, Any]
) -> tuple[ApiKey, str]:
    """The row of a new key, and the key."""
    secret = PREFIX + secrets.token_urlsafe(32)
    expires = None if lifetime is None else now() + lifetime
    values = {"name": name, "tenant": tenant, "scopes": list(scopes), "limits": dict(limits)}
    key = ApiKey(hash=digest(secret), created=now(), expires=expires, **values)
    session.add(key)
    session.flush()
    session.refresh(key)
    return key, secret


def authenticate(database: Database, secret: str) -> Caller | None:
    """The caller whose key this is; None if there is no such key, or it was revoked. Raises KeyExpired."""
    return in_force(database, ApiKey.hash == digest(secret))


def find(database: Database, key_id: int) -> Caller | None:
    """The caller of a key, by its id; None if there is no such key, or it was revoked or has expired."""
    try:
        return in_force(database, ApiKey.id == key_id)
    except KeyExpired:
        return None


def in_force(database: Database, criterion: ColumnElement[bool]) -> Caller | None:
    """The caller of the key that there is by a criterion, unless it was revoked. Raises KeyExpired."""
    with database.read() as session:
        row = session.execute(select(ApiKey, now()).where(criterion, ApiKey.revoked.is_(None))).one_or_none()
    if row is None:
        return None
    key, time = row.tuple()
    if key.expires is not None and key.expires <= time:
        raise KeyExpired(key)
    if key.last_used is None or key.last_used <= time - USE_SECONDS:
        with contextlib.suppress(OperationalError), database.write() as session:  # no reason to refuse a request
            session.execute(update(ApiKey).where(ApiKey.id == key.id).values(last_used=now()))
    return Caller(key.tenant, tuple(key.scopes), key.id, key.limits)


def owned(tenant: str | None) -> list[ColumnElement[bool]]:
    """Condition: the keys of a tenant; with None, of all."""
    return [] if tenant is None else [ApiKey.tenant == tenant]


def list_all(database: Database, tenant: str | None = None) -> list[ApiKey]:
    """The keys of a tenant, or of all tenants, those revoked included."""
    with database.read() as session:
        return list(session.scalars(select(ApiKey).where(*owned(tenant)).order_by(ApiKey.id)))


def revoke(database: Database, key_id: int, tenant: str | None = None) -> bool:
    """Whether there was such a key in force."""
    unrevoked = ApiKey.id == key_id, ApiKey.revoked.is_(None), *owned(tenant)
    with database.write() as session:
        return session.scalar(update(ApiKey).where(*unrevoked).values(revoked=now()).returning(ApiKey.id)) is not None


def rotate(database: Database, key_id: int, grace: float, lifetime: float | None = None) -> tuple[ApiKey, str] | None:
    """A new key with all that the old one has; the old one expires after the grace, in seconds. None if it is not in force.

    The new one has as long a lifetime as the old one had, unless another is given. One that has expired may be rotated.
    """
    unrevoked = ApiKey.id == key_id, ApiKey.revoked.is_(None)
    with database.write() as session:
        session.expire_on_commit = False
        old = session.scalars(select(ApiKey).where(*unrevoked).with_for_update()).one_or_none()
        if old is None:
            return None
        if lifetime is None and old.expires is not None:
            lifetime = old.expires - old.created
        new = add(session, old.name, check_tenant(old.tenant), old.scopes, lifetime, old.limits)
        sooner = or_(ApiKey.expires.is_(None), ApiKey.expires > now() + grace)
        session.execute(update(ApiKey).where(ApiKey.id == key_id, sooner).values(expires=now() + grace))
        return new
