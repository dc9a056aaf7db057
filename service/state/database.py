"""Opening the database: SQLite in a file, or PostgreSQL."""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, select
from sqlalchemy.exc import TimeoutError
from sqlalchemy.orm import Session

from service.state.migrations import migrate
from service.state.tables import now

PATIENCE = 30.0  # seconds that a writer waits for another
CONNECT_SECONDS = 5  # to a PostgreSQL that does not answer


@dataclass(frozen=True, slots=True)
class WriteLock:
    """A lock that is waited for so many seconds. Raises TimeoutError of SQLAlchemy."""

    seconds: float
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> None:
        if not self.lock.acquire(timeout=self.seconds):
            raise TimeoutError(f"no turn to write in {self.seconds:g} s")

    def __exit__(self, *_: object) -> None:
        self.lock.release()


@dataclass(frozen=True, slots=True)
class Database:
    engine: Engine
    # SQLite's writers poll for its lock, and one may starve: writers of the same process wait for each other here instead.
    write_lock: AbstractContextManager[Any] = field(default_factory=nullcontext)

    @classmethod
    def open(cls, url: str, patience: float | None = None) -> "Database":
        """Open `sqlite:///file` or `postgresql+psycopg://...`; with `patience`, no statement lasts for more seconds."""
        if not url.startswith("sqlite"):
            limits: dict[str, Any] = {"connect_timeout": CONNECT_SECONDS}
            if patience is not None:
                limits["options"] = f"-c statement_timeout={patience:.0f}s -c lock_timeout={patience:.0f}s"
            return cls(create_engine(url, pool_pre_ping=True, pool_timeout=patience or PATIENCE, connect_args=limits))
        engine = create_engine(url, pool_timeout=patience or PATIENCE)
        event.listen(engine, "connect", partial(prepare, busy_seconds=patience or PATIENCE))
        event.listen(engine, "begin", begin)
        return cls(engine, WriteLock(patience or PATIENCE))

    def create(self) -> None:
        """Make the tables, or bring those there are up to date."""
        migrate(self.engine)

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction, committed at the end of the block unless it raises."""
        with self.write_lock, Session(self.engine) as session, session.begin():
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A snapshot. What is read stays usable after the block."""
        with Session(self.engine.execution_options(reading=True), expire_on_commit=False) as session:
            yield session


def clock(session: Session) -> float:
    """Seconds since the epoch by the database's clock."""
    return float(session.execute(select(now())).scalar_one())


def prepare(connection: Any, _record: object, *, busy_seconds: float) -> None:
    connection.isolation_level = None  # we begin transactions ourselves, in `begin`
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", f"busy_timeout={1000 * busy_seconds:.0f}", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def begin(connection: Connection) -> None:
    """A writer takes its lock at once: of two that begin as readers and go on to write, SQLite lets one fail, not wait."""
    connection.exec_driver_sql("BEGIN" if connection.get_execution_options().get("reading") else "BEGIN IMMEDIATE")
