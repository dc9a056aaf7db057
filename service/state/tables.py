"""The tables: the state of versions and units, which API and workers share. Their data is in the object store.

Times are seconds since the epoch by the database's own clock, so that machines need not agree on theirs.
"""

from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, Integer, String, UniqueConstraint
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import Float

from service.state.lifecycle import Stage, State

Id = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up INTEGER keys alone


class now(FunctionElement[float]):
    """Seconds since the epoch, as the database sees it."""

    type = Float()
    inherit_cache = True


@compiles(now, "sqlite")
def _(element: now, compiler: SQLCompiler, **kw: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(now, "postgresql")
def _(element: now, compiler: SQLCompiler, **kw: Any) -> str:
    return "extract(epoch from clock_timestamp())::float8"


class Base(DeclarativeBase):
    """On SQLite, too, no id is given twice: one that is kept elsewhere never stands for another row."""

    __table_args__: Any = {"sqlite_autoincrement": True}  # noqa: RUF012  (SQLAlchemy's way)
    type_annotation_map = {dict[str, Any]: JSON, float: Float(53), State: String, Stage: String}  # noqa: RUF012  (SQLAlchemy's way)


class Version(Base):
    """One version of a dataset, from the request on."""

    __tablename__ = "versions"
    __table_args__ = (
        UniqueConstraint("tenant", "dataset", "number"),
        Index("versions_of_tenant", "tenant", "id"),
        Index("versions_of_state", "state"),
        Base.__table_args__,
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    tenant: Mapped[str]
    dataset: Mapped[str]
    number: Mapped[int]
    state: Mapped[State]
    entered: Mapped[dict[str, Any]]  # state -> when the version entered it
    spec: Mapped[dict[str, Any]]
    priority: Mapped[int] = mapped_column(default=0, server_default="0")  # units of higher ones are leased first
    size: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")  # bytes in the object store
    cpu_seconds: Mapped[float] = mapped_column(default=0.0, server_default="0")  # of CPU workers, on units that have ended
    gpu_seconds: Mapped[float] = mapped_column(default=0.0, server_default="0")  # of GPU workers, likewise
    previous: Mapped[int | None] = mapped_column(default=None)  # the number of the version that it refreshes
    unit_counts: Mapped[dict[str, Any]] = mapped_column(default=dict)  # stage -> how many units the plan has for it
    counts: Mapped[dict[str, Any]] = mapped_column(default=dict)
    error: Mapped[str | None] = mapped_column(default=None)


class Dataset(Base):
    """A dataset, and the number that was given last: none is given twice to what has ever held anything."""

    __tablename__ = "datasets"

    tenant: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    last: Mapped[int] = mapped_column(default=0)
    latest: Mapped[int | None] = mapped_column(default=None)  # the version to use


class Schedule(Base):
    """A cron expression by which a dataset is refreshed.

    A tick is fired by a compare-and-set on `next_tick`: of several schedulers that see the same tick, one succeeds.
    """

    __tablename__ = "schedules"

    tenant: Mapped[str] = mapped_column(primary_key=True)
    dataset: Mapped[str] = mapped_column(primary_key=True)
    cron: Mapped[str]
    time_zone: Mapped[str]  # IANA
    spec: Mapped[dict[str, Any]]
    busy: Mapped[str]  # skip or queue: what to do while a version of the dataset is on its way
    next_tick: Mapped[float | None] = mapped_column(index=True)  # None while it is not enabled
    fired: Mapped[float | None] = mapped_column(default=None)  # when the last tick was fired, or skipped
    outcome: Mapped[str | None] = mapped_column(default=None)  # of that tick, in words


class IdempotencyKey(Base):
    """An idempotency key that was used: the same request with the same key is answered with the same version."""

    __tablename__ = "idempotency_keys"

    tenant: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[str]  # of the request's body and path
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id", ondelete="CASCADE"))


class ApiKey(Base):
    """An API key. Only its hash is kept: 256 random bits need no salt and no slow hash."""

    __tablename__ = "keys"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    hash: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    tenant: Mapped[str]
    scopes: Mapped[list[str]] = mapped_column(JSON)
    created: Mapped[float]
    revoked: Mapped[float | None] = mapped_column(default=None)
    expires: Mapped[float | None] = mapped_column(default=None)  # from when on it is not valid
    last_used: Mapped[float | None] = mapped_column(default=None)  # to the minute
    limits: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")  # its own, in place of the settings'


class Upload(Base):
    """An archive of images that lies in the object store as it was sent, and is to become a state of a source."""

    __tablename__ = "uploads"
    __table_args__ = (Index("uploads_of_tenant", "tenant", "id"), Base.__table_args__)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    tenant: Mapped[str]
    source: Mapped[str]
    key: Mapped[str]  # of the archive in the tenant's store
    size: Mapped[int] = mapped_column(BigInteger)  # bytes
    allow_synthetic: Mapped[bool]
    state: Mapped[str] = mapped_column(default="waiting")  # waiting, reading, done, failed
    created: Mapped[float]
    ended: Mapped[float | None] = mapped_column(default=None)
    digest: Mapped[str | None] = mapped_column(default=None)  # of the state that it became
    error: Mapped[str | None] = mapped_column(default=None)


class Unit(Base):
    """A unit of work, of minutes for one worker: a version's plan, shard, training or removal, or an upload's reading."""

    __tablename__ = "units"
    __table_args__ = (
        UniqueConstraint("version_id", "stage", "number"),
        Index("units_ready", "state", "not_before"),
        Index("units_leased", "state", "lease_until"),
        Index("units_of_version", "version_id", "state", "not_before"),
        Base.__table_args__,
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    tenant: Mapped[str]
    priority: Mapped[int] = mapped_column(default=0, server_default="0")  # its version's
    version_id: Mapped[int | None] = mapped_column(ForeignKey("versions.id", ondelete="CASCADE"))
    upload_id: Mapped[int | None] = mapped_column(ForeignKey("uploads.id", ondelete="CASCADE"), index=True)
    stage: Mapped[Stage]
    number: Mapped[int]
    state: Mapped[str] = mapped_column(default="ready")  # ready, leased, done, failed
    not_before: Mapped[float]  # while ready: when it may be leased
    lease_until: Mapped[float | None] = mapped_column(default=None)  # while leased: when the lease expires
    fence: Mapped[int] = mapped_column(default=0)  # goes up with each lease; a lease with a lower fence is lost
    attempts: Mapped[int] = mapped_column(default=0)  # leases so far, but for those that were released
    owner: Mapped[str | None] = mapped_column(default=None)  # the worker that holds the lease
    report: Mapped[dict[str, Any] | None] = mapped_column(default=None)
    error: Mapped[str | None] = mapped_column(default=None)


class Event(Base):
    """Something that happened to a version. Ids go up: a stream of events is resumed after the last id it had."""

    __tablename__ = "events"
    __table_args__ = (
        Index("events_of_version", "version_id", "id"),
        Index("events_of_kind", "kind", "at"),
        Base.__table_args__,
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id", ondelete="CASCADE"))
    at: Mapped[float]
    kind: Mapped[str]
    data: Mapped[dict[str, Any]]


class SampleVerdict(Base):
    """What a person decided about a sample of a version, which stays as it is."""

    __tablename__ = "verdicts"
    __table_args__ = ()

    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id", ondelete="CASCADE"), primary_key=True)
    index: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    attempt: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    decision: Mapped[str]  # keep or drop
    by: Mapped[str]  # name of the API key
    at: Mapped[float]


class Webhook(Base):
    """An address to which the end of each version of a tenant is posted."""

    __tablename__ = "webhooks"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    tenant: Mapped[str] = mapped_column(index=True)
    url: Mapped[str]
    secret: Mapped[str]  # signs what is sent, so it cannot be kept as a hash
    created: Mapped[float]
    previous_secret: Mapped[str | None] = mapped_column(default=None)  # signs, too, until `previous_until`
    previous_until: Mapped[float | None] = mapped_column(default=None)
    disabled: Mapped[float | None] = mapped_column(default=None)  # since when nothing is sent to it any more
    reason: Mapped[str | None] = mapped_column(default=None)  # why it is disabled


class Delivery(Base):
    """One payload for one webhook: an outbox, written in the transaction in which the event happened, sent later."""

    __tablename__ = "deliveries"
    __table_args__ = (Index("deliveries_in_line", "state", "not_before"), Base.__table_args__)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    webhook_id: Mapped[int] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"), index=True)
    payload: Mapped[dict[str, Any]]
    at: Mapped[float]
    state: Mapped[str] = mapped_column(default="pending")  # pending, delivered, abandoned
    not_before: Mapped[float]  # while pending: when the next attempt may be made
    attempts: Mapped[int] = mapped_column(default=0)
    status: Mapped[int | None] = mapped_column(default=None)  # of the last answer
    error: Mapped[str | None] = mapped_column(default=None)
