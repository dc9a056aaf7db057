"""The janitor: removes what nobody needs any more, from the database and from the object store.

It only ever removes what nothing refers to and what is older than the settings allow, so that several may run at a time, and
one may end in the middle. Nothing is removed that the database does not know: of one that was lost or restored, files stay.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog
from prometheus_client import Counter

from pipelines.source.unused import remove_blobs, remove_states
from pipelines.store import keys
from pipelines.store.artifacts import remove_unused
from pipelines.store.object_store import Store
from pipelines.store.removal import Removed, remove_old
from pipelines.version.orphans import remove_gone, remove_unnamed
from service.settings import Settings
from service.state import references, retention
from service.state.database import Database

log = structlog.get_logger()
STEPS = Counter("counterpoise_janitor_steps", "Steps of the janitor, by kind and outcome.", ["kind", "outcome"])
REMOVED = Counter("counterpoise_janitor_removed", "Rows and objects that it removed.", ["kind"])
BYTES = Counter("counterpoise_janitor_removed_bytes", "Bytes of the objects that it removed.", ["kind"])
KINDS = ("events", "deliveries", "idempotency_keys", "uploads", "archives", "states", "blobs", "orphans", "artifacts")


class Postponed(Exception):
    """An upload is under way, whose images may be those that nothing refers to yet."""


@dataclass
class Janitor:
    settings: Settings
    database: Database
    settled: set[int] = field(default_factory=set)  # ids of published versions with which no orphan can appear any more

    def __post_init__(self) -> None:
        for kind in KINDS:
            REMOVED.labels(kind)
            for outcome in ("done", "postponed", "failed"):
                STEPS.labels(kind, outcome)

    def run(self) -> None:
        """Every step once. One that fails does not keep the others from theirs."""
        keep = self.settings
        for kind, remove, days in (
            ("events", retention.remove_events, keep.keep_events_days),
            ("deliveries", retention.remove_deliveries, keep.keep_deliveries_days),
            ("idempotency_keys", retention.remove_idempotency_keys, keep.keep_idempotency_days),
            ("uploads", retention.remove_uploads, keep.keep_events_days),
        ):
            if days:
                self.step(kind, partial(self.remove_rows, remove, days))
        for tenant in references.tenants(self.database):
            store = Store.open(f"{keep.store}/{tenant}")
            for kind, method in (
                ("archives", self.remove_archives),
                ("states", self.remove_states),
                ("blobs", self.remove_blobs),
                ("orphans", self.remove_orphans),
                ("artifacts", self.remove_artifacts),
            ):
                self.step(kind, partial(method, store, tenant))

    def step(self, kind: str, remove: Callable[[], Removed]) -> None:
        try:
            removed = remove()
        except Postponed:
            STEPS.labels(kind, "postponed").inc()
        except Exception as error:  # database or store are away: they will be back
            STEPS.labels(kind, "failed").inc()
            log.warning("nothing removed", kind=kind, error=f"{type(error).__name__}: {error}")
        else:
            STEPS.labels(kind, "done").inc()
            REMOVED.labels(kind).inc(removed.objects)
            BYTES.labels(kind).inc(removed.size)
            if removed.objects:
                log.info("removed", kind=kind, count=removed.objects, bytes=removed.size)

    @property
    def before(self) -> datetime:
        """What nothing refers to is removed if it was written before this time: later, something may just begin to."""
        return datetime.now(UTC) - timedelta(hours=self.settings.orphan_hours)

    def remove_rows(self, remove: Callable[[Database, float], int], days: float) -> Removed:
        return Removed(remove(self.database, days))

    def remove_archives(self, store: Store, tenant: str) -> Removed:
        """Archives that are read, or of which no upload knows."""
        return remove_old(store, "uploads", self.before, references.archives(self.database, tenant).__contains__)

    def between_uploads(self, tenant: str) -> Callable[[], None]:
        """A step that raises Postponed when an upload is under way, or one has begun since this call."""
        last = references.last_upload(self.database, tenant)

        def step() -> None:
            if references.archives(self.database, tenant) or references.last_upload(self.database, tenant) != last:
                raise Postponed

        return step

    def remove_states(self, store: Store, tenant: str) -> Removed:
        step = self.between_uploads(tenant)
        return remove_states(store, references.source_states(self.database, tenant), self.before, step)

    def remove_blobs(self, store: Store, tenant: str) -> Removed:
        return remove_blobs(store, self.before, self.between_uploads(tenant))

    def remove_orphans(self, store: Store, tenant: str) -> Removed:
        """What lies with versions that are gone; and what published ones do not name, until nobody can add to that."""
        removed, before = Removed(), self.before
        for dataset in references.versions_by_dataset(self.database, tenant):
            removed += remove_gone(store, dataset.name, dataset.last, dataset.numbers, before)
            for identity, number, since in dataset.published:
                if identity not in self.settled:
                    removed += remove_unnamed(store, keys.version(dataset.name, number), before)
                    if since + 2 * 3600 * self.settings.orphan_hours < time.time():
                        self.settled.add(identity)
        return removed

    def remove_artifacts(self, store: Store, tenant: str) -> Removed:
        if not self.settings.keep_artifacts_days:
            return Removed()
        before = datetime.now(UTC) - timedelta(days=self.settings.keep_artifacts_days)
        return remove_unused(store, references.artifacts(self.database, tenant), before)


def clean_forever(settings: Settings, database: Database) -> None:
    """Every so many seconds. It may last, so it has a thread of its own."""
    janitor = Janitor(settings, database)
    while True:
        try:
            janitor.run()
        except Exception as error:  # the database is away: it will be back
            log.warning("janitor failed", error=f"{type(error).__name__}: {error}")
        time.sleep(settings.janitor_seconds)
