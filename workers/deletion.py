"""The unit that removes a version's files."""

from collections.abc import Callable
from functools import partial

from pipelines.version.discard import discard
from service.settings import Settings
from service.state import versions
from service.state.database import Database
from service.state.leases import LeaseLost
from service.tenants import open_store


def delete_files(settings: Settings, database: Database, version_id: int, step: Callable[[], None]) -> None:
    """Remove the files of a version, but for those that versions which stay carry. `step` is called before each step, and
    raises when the work must end. Raises LeaseLost when another worker has removed the version."""
    version = versions.get(database, version_id)
    if version is None:
        raise LeaseLost(f"version {version_id} is gone")
    store = open_store(settings, version.tenant)
    discard(store, version.dataset, version.number, partial(versions.staying, database, version), step)
