"""Opening the database: SQLite in a file, or PostgreSQL."""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, select
from sqlalchemy.orm import Session

from service.state.migrations import migrate
from service.state.tables import now

BUSY = 30_000  # milliseconds that a writer waits for another


@dataclass(frozen=True, slots=True)
class Database:
    engine: Engine
    # SQLite's writers poll for its lock, and one may starve: writers of the same process wait for each other here instead.
    write_lock: AbstractContextManager[Any] = field(default_factory=nullcontext)

    @classmethod
    def open(cls, url: str) -> "Database":
        """Open `sqlite:///file` or `postgresql+psycopg://...`."""
        if not url.startswith("sqlite"):
            return cls(create_engine(url, pool_pre_ping=True))
        engine = create_engine(url)
        event.listen(engine, "connect", prepare)
        event.listen(engine, "begin", begin)
        return cls(engine, threading.Lock())

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


def prepare(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # we begin transactions ourselves, in `begin`
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", f"busy_timeout={BUSY}", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def begin(connection: Connection) -> None:
    """A writer takes its lock at once: of two that begin as readers and go on to write, SQLite lets one fail, not wait."""
    connection.exec_driver_sql("BEGIN" if connection.get_execution_options().get("reading") else "BEGIN IMMEDIATE")
