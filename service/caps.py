"""Caps: how much a tenant may have at a time. Settings give them, and a key's own limits take their place; 0: no cap.

Versions, units and bytes are counted in the database. Streams and requests are counted by each API process for itself: of n
processes a tenant has n times as much.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from pipelines.errors import CounterpoiseError
from service.settings import Settings
from service.state.lifecycle import ENDED
from service.state.tables import Version


class CapReached(CounterpoiseError):
    """A tenant has as much as it may have. `retry_after`: seconds after which there will be room, if that is known."""

    def __init__(self, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Caps:
    versions_in_flight: int = 0
    running_units: int = 0
    bytes_stored: int = 0
    streams: int = 0  # of events and exports, open in a process
    webhooks: int = 0
    requests_per_second: float = 0.0  # of a key, in a process

    @classmethod
    def of(cls, settings: Settings, limits: Mapping[str, Any]) -> "Caps":
        """The settings', but for those of a key's own limits."""
        values = {cap.name: limits.get(cap.name) for cap in fields(cls)}
        return cls(**{name: getattr(settings, f"max_{name}") if value is None else value for name, value in values.items()})

    def check_versions(self, session: Session, tenant: str) -> None:
        """Raises CapReached when the tenant may have no further version."""
        if self.versions_in_flight:
            lock_tenant(session, tenant)
            unfinished = Version.tenant == tenant, ~Version.state.in_(ENDED)
            count = session.scalar(select(func.count()).where(*unfinished)) or 0
            refuse("versions are on their way", count, self.versions_in_flight, "wait for one of them, or cancel it")
        self.check_bytes(session, tenant)

    def check_bytes(self, session: Session, tenant: str) -> None:
        """Raises CapReached when the tenant's published versions hold as many bytes as they may."""
        if self.bytes_stored:
            size = int(session.scalar(select(func.sum(Version.size)).where(Version.tenant == tenant)) or 0)
            refuse("bytes are stored", size, self.bytes_stored, "delete versions that are not needed")

    def check_webhooks(self, count: int) -> None:
        """Raises CapReached for one more than so many webhooks."""
        refuse("webhooks are registered", count, self.webhooks, "delete one that is not needed")


NO_CAPS = Caps()


def refuse(what: str, count: int, cap: int, remedy: str) -> None:
    if cap and count >= cap:
        raise CapReached(f"{count} {what}, of {cap} that you may have; {remedy}, or ask the operator for more")


def lock_tenant(session: Session, tenant: str) -> None:
    """Until the transaction ends no other one counts what the tenant has: two that count the same would both go on. Always
    the last lock that is taken. SQLite has one writer anyway."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("select pg_advisory_xact_lock(hashtextextended(:tenant, 0))"), {"tenant": tenant})


@dataclass(slots=True)
class OpenStreams:
    """Streams that this process has open, by tenant."""

    counts: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def hold(self, tenant: str, cap: int) -> Iterator[None]:
        """Count one more inside the block. Raises CapReached."""
        with self.lock:
            refuse("streams of events or exports are open", self.counts[tenant], cap, "close one of them")
            self.counts[tenant] += 1
        try:
            yield
        finally:
            with self.lock:
                self.counts[tenant] -= 1


@dataclass(slots=True)
class TokenBuckets:
    """A bucket for each key: it holds the requests of a second, fills up as time goes by, and each request takes one."""

    levels: dict[int, tuple[float, float]] = field(default_factory=dict)  # requests left, at a time
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, key: int, rate: float) -> None:
        """Take a request out of a key's bucket, at so many a second. Raises CapReached."""
        if not rate:
            return
        size, clock = max(rate, 1.0), time.monotonic()
        with self.lock:
            level, since = self.levels.get(key, (size, clock))
            level = min(level + (clock - since) * rate, size)
            if granted := level >= 1:
                level -= 1
            self.levels[key] = level, clock
        if not granted:
            wait = int((1 - level) / rate) + 1
            raise CapReached(f"more than {rate:g} requests a second with this key; try again in {wait} s", wait)
