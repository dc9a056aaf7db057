"""The tables: what API and workers know of a version. The store holds what was made; here lies only how far it is.

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
    type_annotation_map = {dict[str, Any]: JSON, float: Float(53), State: String, Stage: String}  # noqa: RUF012  (SQLAlchemy's way)


class Version(Base):
    """One version of a dataset, from the moment it was asked for."""

    __tablename__ = "versions"
    __table_args__ = (
        UniqueConstraint("tenant", "dataset", "number"),
        Index("versions_of_tenant", "tenant", "id"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    tenant: Mapped[str]
    dataset: Mapped[str]
    number: Mapped[int]
    state: Mapped[State]
    entered: Mapped[dict[str, Any]]  # state -> when
    spec: Mapped[dict[str, Any]]
    previous: Mapped[int | None] = mapped_column(default=None)  # the number of the version that it refreshes
    work: Mapped[dict[str, Any]] = mapped_column(default=dict)  # stage -> how many units the plan asks for
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
    """When a dataset is refreshed by itself. Whoever moves `due` on has fired it: so of several schedulers one does."""

    __tablename__ = "schedules"

    tenant: Mapped[str] = mapped_column(primary_key=True)
    dataset: Mapped[str] = mapped_column(primary_key=True)
    cron: Mapped[str]
    time_zone: Mapped[str]  # IANA
    spec: Mapped[dict[str, Any]]
    busy: Mapped[str]  # skip or queue: what to do while a version of the dataset is on its way
    due: Mapped[float | None] = mapped_column(index=True)  # the next tick; None while it is not enabled
    fired: Mapped[float | None] = mapped_column(default=None)
    said: Mapped[str | None] = mapped_column(default=None)  # what came of it


class Asked(Base):
    """An Idempotency-Key that was used: the same request again is the same version."""

    __tablename__ = "asked"

    tenant: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[str]  # of the request's body and path
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id", ondelete="CASCADE"))


class Key(Base):
    """An API key. Only its hash is kept: 256 random bits need no salt and no slow hash."""

    __tablename__ = "keys"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    hash: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    tenant: Mapped[str]
    scopes: Mapped[list[str]] = mapped_column(JSON)
    created: Mapped[float]
    revoked: Mapped[float | None] = mapped_column(default=None)


class Unit(Base):
    """A piece of a version's work that one worker does in minutes: a shard, a slice of learning, a training."""

    __tablename__ = "units"
    __table_args__ = (
        UniqueConstraint("version_id", "stage", "number"),
        Index("units_in_line", "state", "due"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id", ondelete="CASCADE"))
    stage: Mapped[Stage]
    number: Mapped[int]
    state: Mapped[str] = mapped_column(default="ready")  # ready, leased, done, failed
    due: Mapped[float]  # not before; while leased: until when
    fence: Mapped[int] = mapped_column(default=0)  # goes up with each lease; a holder of an older one has lost it
    attempts: Mapped[int] = mapped_column(default=0)
    owner: Mapped[str | None] = mapped_column(default=None)
    report: Mapped[dict[str, Any] | None] = mapped_column(default=None)
    error: Mapped[str | None] = mapped_column(default=None)


class Event(Base):
    """Something that a watcher of a version wants to know. Ids go up: a watcher goes on after the last it saw."""

    __tablename__ = "events"
    __table_args__ = (
        Index("events_of_version", "version_id", "id"),
        Index("events_of_kind", "kind", "at"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id", ondelete="CASCADE"))
    at: Mapped[float]
    kind: Mapped[str]
    data: Mapped[dict[str, Any]]


class Webhook(Base):
    """An address that wants to be told when a version of its tenant has ended."""

    __tablename__ = "webhooks"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    tenant: Mapped[str] = mapped_column(index=True)
    url: Mapped[str]
    secret: Mapped[str]  # signs what is sent, so it cannot be kept as a hash
    created: Mapped[float]


class Delivery(Base):
    """Something that a webhook is told, written in the transaction in which it happened, sent later."""

    __tablename__ = "deliveries"
    __table_args__ = (Index("deliveries_in_line", "state", "due"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    webhook_id: Mapped[int] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"), index=True)
    payload: Mapped[dict[str, Any]]
    at: Mapped[float]
    state: Mapped[str] = mapped_column(default="pending")  # pending, delivered, abandoned
    due: Mapped[float]  # not before
    attempts: Mapped[int] = mapped_column(default=0)
    status: Mapped[int | None] = mapped_column(default=None)  # of the last answer
    error: Mapped[str | None] = mapped_column(default=None)
