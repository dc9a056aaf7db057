"""Both databases: what holds on one must hold on the other."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.state.database import Database
from service.state.migrations import migrate
from tests.servers import postgresql


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    with postgresql() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def bare(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Empty, without a table."""
    on_disk = f"sqlite:///{tmp_path}/state.db"
    opened = Database.open(on_disk if request.param == "sqlite" else request.getfixturevalue("server"))
    migrate(opened.engine, "base")
    yield opened
    opened.engine.dispose()


@pytest.fixture
def database(bare: Database) -> Database:
    """With its tables, and nothing in them."""
    bare.create()
    return bare
