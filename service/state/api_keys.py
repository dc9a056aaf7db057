"""API keys: created once, printed once, kept as a hash."""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from sqlalchemy import select, update

from service.state.database import Database
from service.state.tables import ApiKey, now

Scope = Literal["read", "submit", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
PREFIX = "cp_"  # by which scanners for leaked secrets know one


@dataclass(frozen=True, slots=True)
class Caller:
    """The tenant of an API key, and what the key may be used for."""

    tenant: str
    scopes: tuple[str, ...]
    key: int = 0  # id of the API key
    limits: Mapping[str, Any] = field(default_factory=dict)  # the key's own, in place of the settings'

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes or "admin" in self.scopes


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def create(database: Database, name: str, tenant: str, scopes: Sequence[Scope]) -> str:
    """Create a key; return it. It cannot be read again."""
    secret = PREFIX + secrets.token_urlsafe(32)
    with database.write() as session:
        session.add(ApiKey(hash=digest(secret), name=name, tenant=tenant, scopes=list(scopes), created=now()))
    return secret


def authenticate(database: Database, secret: str) -> Caller | None:
    """The caller whose key this is; None if there is no such key, or it was revoked."""
    with database.read() as session:
        in_force = ApiKey.hash == digest(secret), ApiKey.revoked.is_(None)
        key = session.scalars(select(ApiKey).where(*in_force)).one_or_none()
        return None if key is None else Caller(key.tenant, tuple(key.scopes), key.id, key.limits)


def list_all(database: Database) -> list[ApiKey]:
    """The keys of all tenants, those revoked included."""
    with database.read() as session:
        return list(session.scalars(select(ApiKey).order_by(ApiKey.id)))


def revoke(database: Database, key_id: int) -> bool:
    """Whether there was such a key in force."""
    in_force = ApiKey.id == key_id, ApiKey.revoked.is_(None)
    with database.write() as session:
        return session.scalar(update(ApiKey).where(*in_force).values(revoked=now()).returning(ApiKey.id)) is not None
