"""A dataset of the caller's by its name, and the spec that it is refreshed from."""

from fastapi import HTTPException

from pipelines.spec import VersionSpec, parse
from service.api.dependencies import AppContext
from service.state import datasets
from service.state.api_keys import Caller
from service.state.datasets import DatasetSummary


def find_dataset(context: AppContext, caller: Caller, name: str) -> DatasetSummary:
    """Raises 404."""
    dataset = datasets.find(context.database, caller.tenant, name)
    if dataset is None:
        remedy = "GET /v1/datasets (counterpoise datasets) names those there are"
        raise HTTPException(404, f"there is no dataset {name!r}; {remedy}")
    return dataset


def default_spec(context: AppContext, caller: Caller, name: str) -> VersionSpec:
    """The schedule's spec, else the newest published version's. Raises 404, and 409 when there is neither."""
    dataset, newest = find_dataset(context, caller, name), datasets.newest_published(context.database, caller.tenant, name)
    document = dataset.schedule.spec if dataset.schedule else newest.spec if newest else None
    if document is None:
        raise HTTPException(409, f"spec: {name!r} has no published version and no schedule to take it from; send one")
    return parse(document)
