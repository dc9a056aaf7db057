"""The database's schema, step by step: Alembic, up and down, in one transaction, under a lock.

A step runs on SQLite and on PostgreSQL. `batch_alter_table` makes SQLite remove a table that others refer to, and with it
their rows if foreign keys were enforced: they are checked once the steps are done.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from pipelines.errors import CounterpoiseError

LOCK = 0x636F756E746572  # PostgreSQL's advisory lock for migrations; SQLite has one writer anyway


class SchemaError(CounterpoiseError):
    """The database cannot be brought to the revision that was given."""


def current_revision(connection: Connection) -> str:
    """The revision that a database has; "base" before the first."""
    return MigrationContext.configure(connection).get_current_revision() or "base"


def migrate(engine: Engine, to: str = "head") -> str:
    """Bring a database up or down to a revision; return its name. Quick when it has it, safe when several do it at once.

    A database from before there were revisions is taken over: the first revision creates only what is missing.
    Raises SchemaError for a revision that is not known here.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    steps = ScriptDirectory.from_config(config).walk_revisions()
    revisions = ["base", *reversed([step.revision for step in steps])]
    target = revisions[-1] if to == "head" else to
    with engine.execution_options(reading=True).connect() as connection:
        if current_revision(connection) == target:
            return target
    with unenforced(engine) as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
        for revision in (current := current_revision(connection), target):
            if revision not in revisions:
                raise SchemaError(
                    f"revision {revision!r} of the database is not known here; known are {', '.join(revisions)}. "
                    "Use the newer Counterpoise that has it, also to migrate down from it"
                )
        config.attributes["connection"] = connection
        direction = command.upgrade if revisions.index(current) < revisions.index(target) else command.downgrade
        direction(config, target)
        if engine.dialect.name == "sqlite" and (lost := connection.exec_driver_sql("PRAGMA foreign_key_check").first()):
            raise SchemaError(f"revision {target!r}: a row of {lost[0]} refers to one that is not there; restore a backup")
    return target


@contextmanager
def unenforced(engine: Engine) -> Iterator[Connection]:
    """A connection on which SQLite does not enforce foreign keys: it can be told so outside of a transaction alone."""
    with engine.connect() as connection:
        sqlite = engine.dialect.name == "sqlite"
        driver: Any = connection.connection.dbapi_connection
        if sqlite:
            driver.execute("PRAGMA foreign_keys=OFF")
        try:
            yield connection
        finally:
            if sqlite:
                driver.execute("PRAGMA foreign_keys=ON")
