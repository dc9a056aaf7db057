"""Idempotency keys: a request that is sent twice with the same key makes one version."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from service.state.tables import IdempotencyKey


class KeyReused(Exception):
    """The idempotency key was used for another request."""


@dataclass(frozen=True, slots=True)
class IdempotentRequest:
    """An idempotency key, and the digest of the request that it came with."""

    key: str
    digest: str  # SHA-256 of the request's path and body

    @classmethod
    def of(cls, key: str | None, request: Any) -> "IdempotentRequest | None":
        """A request as JSON, whatever the order of its fields; None without a key."""
        if not key:
            return None
        return cls(key, hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest())


def earlier_version(session: Session, tenant: str, request: IdempotentRequest) -> int | None:
    """The id of the version that the same request made before. Raises KeyReused."""
    row = session.get(IdempotencyKey, (tenant, request.key))
    if row is None:
        return None
    if row.digest != request.digest:
        raise KeyReused(request.key)
    return row.version_id


def remember(session: Session, tenant: str, request: IdempotentRequest, version_id: int) -> None:
    session.add(IdempotencyKey(tenant=tenant, key=request.key, digest=request.digest, version_id=version_id))
