"""A version of the caller's by its name, or the problem that says it is not there."""

from fastapi import HTTPException

from pipelines.spec import VersionSpec
from service.api.dependencies import AppContext
from service.datasets.lookups import find_dataset
from service.state import versions
from service.state.api_keys import Caller
from service.state.tables import Version


def find_version(context: AppContext, caller: Caller, name: str, number: int) -> Version:
    """Raises 404, for another tenant's version as for one that does not exist."""
    version = versions.find(context.database, caller.tenant, name, number)
    if version is None:
        find_dataset(context, caller, name)
        raise HTTPException(404, f"dataset {name!r} has no version {number}; the list of versions names those there are")
    return version


def require_name(spec: VersionSpec, name: str) -> VersionSpec:
    """The spec, if it is of the dataset in the address. Raises 409."""
    if spec.name != name:
        raise HTTPException(409, f"name: the spec is of {spec.name!r}, the address of {name!r}; make them the same")
    return spec
