"""Tenants: whose datasets are whose. A tenant's name is the first part of all its keys in the object store."""

import re

from pipelines.errors import SpecError
from pipelines.store.object_store import WORK, Patience, Store
from service.settings import Settings

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def check_tenant(tenant: str) -> str:
    """The name. Raises SpecError for one that could be, or hold, the path of another's part of the store."""
    if not NAME.fullmatch(tenant):
        raise SpecError(
            f"tenant: {tenant!r} is no name of a tenant; one has up to 63 of a-z, 0-9, '_' and '-', and begins with a "
            "letter or a digit. What has another name already must be renamed, in the database and in the store"
        )
    return tenant


def open_store(settings: Settings, tenant: str, patience: Patience = WORK) -> Store:
    """A tenant's part of the object store: no other can be reached from it."""
    return Store.open(f"{settings.store}/{check_tenant(tenant)}", patience)
