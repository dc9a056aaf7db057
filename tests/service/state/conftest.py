"""A version that was just created, in each of the databases."""

import pytest

from service.state import versions
from service.state.database import Database


@pytest.fixture
def version(database: Database) -> int:
    return versions.create(database, "team", "shoes", {"name": "shoes"})
