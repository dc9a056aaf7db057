"""The database's shape, up and down, with data in it, on both databases."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from service.state import api_keys, deletions, events, versions
from service.state.database import Database
from service.state.migrations import SchemaError, current_revision, migrate
from service.state.tables import Base
from service.state.versions import VersionRunning


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
        return current_revision(connection)


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


def test_no_id_is_given_twice_and_what_refers_to_a_row_still_does(database: Database) -> None:
    """After the tables were made anew, rows of another table are still removed with the row that they refer to."""
    migrate(database.engine, "0001")
    filled(database)
    database.create()
    ran(database, "DELETE FROM versions WHERE id = 2")
    assert ran(database, "SELECT version_id FROM events") == [(1,)]
    newest = versions.create(database, "team", "shoes", {})
    with pytest.raises(VersionRunning):
        deletions.begin(database, newest)
    ran(database, f"DELETE FROM versions WHERE id = {newest}")
    assert versions.create(database, "team", "hats", {}) > newest


def test_renamed_columns_keep_their_data_up_and_down(database: Database) -> None:
    """A unit of each state, a used idempotency key, a schedule, a delivery and a message, as they were at revision 0002."""
    migrate(database.engine, "0001")
    filled(database)
    migrate(database.engine, "0002")
    ran(database, "UPDATE versions SET work = '{\"generate\": 2}' WHERE id = 1")
    units = [(1, "ready", 10.5), (2, "leased", 99.5), (3, "done", 7.0), (4, "failed", 8.0)]
    for number, state, due in units:
        ran(
            database,
            "INSERT INTO units (version_id, stage, number, state, due, fence, attempts) "
            f"VALUES (1, 'generate', {number}, '{state}', {due}, 3, 1)",
        )
    ran(database, "INSERT INTO asked (tenant, key, digest, version_id) VALUES ('team', 'monday', 'abc', 2)")
    ran(
        database,
        "INSERT INTO schedules (tenant, dataset, cron, time_zone, spec, busy, due, fired, said) "
        "VALUES ('team', 'shoes', '0 3 * * *', 'UTC', '{}', 'skip', 50.5, 40.5, 'version 2 was asked for')",
    )
    ran(database, "INSERT INTO webhooks (id, tenant, url, secret, created) VALUES (1, 'team', 'https://a', 's', 0)")
    ran(
        database,
        "INSERT INTO deliveries (webhook_id, payload, at, state, due, attempts) VALUES (1, '{}', 1, 'pending', 60.5, 2)",
    )
    ran(database, "INSERT INTO events (version_id, at, kind, data) VALUES (1, 3, 'progress', '{\"said\": \"20 images\"}')")
    bar = '{"stage": "learn", "done": 1, "total": 9}'
    ran(database, f"INSERT INTO events (version_id, at, kind, data) VALUES (1, 4, 'progress', '{bar}')")

    assert migrate(database.engine, "0003") == "0003"
    columns = "SELECT number, state, not_before, lease_until, fence FROM units ORDER BY number"
    assert ran(database, columns) == [
        (1, "ready", 10.5, None, 3), (2, "leased", 99.5, 99.5, 3), (3, "done", 7.0, None, 3), (4, "failed", 8.0, None, 3),
    ]  # fmt: skip
    assert migrate(database.engine, "0004") == "0004"
    assert ran(database, columns) == [
        (1, "ready", 10.5, None, 3), (2, "leased", 99.5, 99.5, 3), (3, "done", 7.0, None, 3), (4, "failed", 8.0, None, 3),
    ]  # fmt: skip
    assert ran(database, "SELECT DISTINCT tenant, priority FROM units") == [("team", 0)]
    assert ran(database, "SELECT key, digest, version_id FROM idempotency_keys") == [("monday", "abc", 2)]
    assert ran(database, "SELECT next_tick, fired, outcome FROM schedules") == [(50.5, 40.5, "version 2 was asked for")]
    assert ran(database, "SELECT not_before, attempts FROM deliveries") == [(60.5, 2)]
    data = [event.data for event in events.list_after(database, 1, 0) if event.kind == "progress"]
    assert data == [{"message": "20 images"}, {"stage": "learn", "done": 1, "total": 9}]

    # While leased, a unit's lease may have been renewed, and when it was ready is long past.
    ran(database, "UPDATE units SET lease_until = 120.5, not_before = 5.5 WHERE state = 'leased'")
    assert migrate(database.engine, "0002") == "0002"
    old = [(1, "ready", 10.5), (2, "leased", 120.5), (3, "done", 7.0), (4, "failed", 8.0)]
    assert ran(database, "SELECT number, state, due FROM units ORDER BY number") == old
    assert ran(database, "SELECT key, digest, version_id FROM asked") == [("monday", "abc", 2)]
    assert ran(database, "SELECT due, said FROM schedules") == [(50.5, "version 2 was asked for")]
    assert ran(database, "SELECT due FROM deliveries") == [(60.5,)]
    data = [event.data for event in events.list_after(database, 1, 0) if event.kind == "progress"]
    assert data == [{"said": "20 images"}, {"stage": "learn", "done": 1, "total": 9}]
    indexes = {index["name"] for index in inspect(database.engine).get_indexes("units")}
    assert "units_in_line" in indexes
    assert not indexes & {"units_ready", "units_leased"}
    assert migrate(database.engine, "head") == "0008"
    version = versions.find(database, "team", "shoes", 1)
    assert version is not None
    assert (version.unit_counts, version.gpu_seconds) == ({"generate": 2}, 0.0)
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


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
    assert api_keys.authenticate(database, api_keys.create(database, "test", "team", api_keys.SCOPES)) is not None
