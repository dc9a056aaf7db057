"""The database's shape, up and down, with data in it, on both databases."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from service.state import api_keys, versions
from service.state.database import Database
from service.state.migrations import SchemaError, current, migrate
from service.state.tables import Base


@pytest.fixture
def database(bare: Database) -> Database:
    """Empty, without a revision."""
    return bare


def ran(database: Database, statement: str) -> list[tuple[object, ...]]:
    with database.engine.begin() as connection:
        found = connection.execute(text(statement))
        return [tuple(row) for row in found] if found.returns_rows else []


def revision(database: Database) -> str:
    with database.engine.connect() as connection:
        return current(connection)


def filled(database: Database) -> None:
    """A completed, a running and a failed version of one dataset, as they were at revision 0001."""
    ran(database, "INSERT INTO datasets (tenant, name, last) VALUES ('team', 'shoes', 3), ('team', 'hats', 0)")
    for number, state in enumerate(("completed", "completed", "failed"), start=1):
        ran(
            database,
            "INSERT INTO versions (id, tenant, dataset, number, state, entered, spec, work, counts) VALUES "
            f"({number}, 'team', 'shoes', {number}, '{state}', '{{}}', '{{}}', '{{}}', '{{\"kept\": 7}}')",
        )
    ran(database, "INSERT INTO events (version_id, at, kind, data) VALUES (1, 0, 'state', '{}'), (2, 0, 'state', '{}')")


def test_the_models_and_the_migrations_agree(database: Database) -> None:
    database.create()
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_data_goes_up_and_down_and_nothing_is_lost(database: Database) -> None:
    migrate(database.engine, "0001")
    filled(database)
    database.create()
    assert ran(database, "SELECT name, latest FROM datasets ORDER BY name") == [("hats", None), ("shoes", 2)]
    found = versions.find(database, "team", "shoes", 1)
    assert found is not None
    assert (found.previous, found.counts) == (None, {"kept": 7})
    ran(database, "UPDATE versions SET state = 'held' WHERE number = 2")
    assert migrate(database.engine, "0001") == "0001"
    assert "schedules" not in inspect(database.engine).get_table_names()
    assert ran(database, "SELECT number, state FROM versions ORDER BY number") == [
        (1, "completed"), (2, "completed"), (3, "failed"),
    ]  # fmt: skip
    assert ran(database, "SELECT count(*) FROM events") == [(2,)]
    assert migrate(database.engine, "base") == "base"
    assert inspect(database.engine).get_table_names() == ["alembic_version"]


def test_a_database_that_was_made_without_revisions_is_taken_over(database: Database) -> None:
    migrate(database.engine, "0001")
    filled(database)
    ran(database, "DROP TABLE alembic_version")
    ran(database, "DROP INDEX events_of_kind")  # as one that is older still
    database.create()
    assert revision(database) != "base"
    assert ran(database, "SELECT name, latest FROM datasets ORDER BY name") == [("hats", None), ("shoes", 2)]
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_a_database_of_a_newer_counterpoise_is_left_alone(database: Database) -> None:
    database.create()
    known = revision(database)
    ran(database, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaError, match=r"revision '9999' of the database is not known here; known are base, 0001"):
        database.create()
    ran(database, f"UPDATE alembic_version SET version_num = '{known}'")


def test_a_step_that_fails_leaves_all_as_it_was(database: Database) -> None:
    migrate(database.engine, "0001")
    ran(database, "CREATE TABLE schedules (id INTEGER)")
    with pytest.raises(Exception, match="schedules"):
        database.create()
    assert revision(database) == "0001"
    assert "latest" not in {column["name"] for column in inspect(database.engine).get_columns("datasets")}
    ran(database, "DROP TABLE schedules")


ONE = """
import sys
from service.state.database import Database
Database.open(sys.argv[1]).create()
"""


def test_processes_that_start_at_once_wait_for_each_other(database: Database) -> None:
    """As API, worker and scheduler do."""
    url = database.engine.url.render_as_string(hide_password=False)
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: subprocess.run([sys.executable, "-c", ONE, url], check=False).returncode, range(4)))
    assert done == [0, 0, 0, 0]
    assert api_keys.caller(database, api_keys.create(database, "test", "team", api_keys.SCOPES)) is not None
