"""API keys: made once, shown once, kept as a hash."""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from sqlalchemy import select, update

from service.state.database import Database
from service.state.tables import Key, now

Scope = Literal["read", "submit", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
PREFIX = "cp_"  # so that scanners for leaked secrets can know one


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever a key belongs to."""

    tenant: str
    scopes: tuple[str, ...]

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes or "admin" in self.scopes


def hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def create(database: Database, name: str, tenant: str, scopes: Sequence[Scope]) -> str:
    """Make a key; return it. It cannot be had again."""
    secret = PREFIX + secrets.token_urlsafe(32)
    with database.write() as session:
        session.add(Key(hash=hashed(secret), name=name, tenant=tenant, scopes=list(scopes), created=now()))
    return secret


def caller(database: Database, secret: str) -> Caller | None:
    """Whose key this is; None if it is nobody's, or was revoked."""
    with database.read() as session:
        key = session.scalars(select(Key).where(Key.hash == hashed(secret), Key.revoked.is_(None))).one_or_none()
        return None if key is None else Caller(key.tenant, tuple(key.scopes))


def listed(database: Database) -> list[Key]:
    with database.read() as session:
        return list(session.scalars(select(Key).order_by(Key.id)))


def revoke(database: Database, key_id: int) -> bool:
    """Whether there was such a key in force."""
    with database.write() as session:
        gone = update(Key).where(Key.id == key_id, Key.revoked.is_(None)).values(revoked=now()).returning(Key.id)
        return session.scalar(gone) is not None
