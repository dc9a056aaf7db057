"""/v1/datasets: which version of each is the latest, refreshing one now, and promoting a version."""

from typing import Annotated

from fastapi import APIRouter, Body, HTTPException, Query, Response

from pipelines.spec import Name
from service.api.dependencies import Context, ReadAccess, StoreContext, SubmitAccess
from service.api.parameters import CURSOR, DatasetName, IdempotencyKey, PageSize, VersionNumber
from service.api.problems import documented
from service.api.routes import Route
from service.datasets.lookups import default_spec, find_dataset
from service.datasets.schemas import DatasetPage, DatasetView, RefreshRequest
from service.datasets.views import dataset_view
from service.state import datasets, deletions
from service.state.idempotency import IdempotentRequest
from service.state.versions import VersionRunning
from service.versions.creation import create_and_wake, wake_worker
from service.versions.lookups import find_version, require_name
from service.versions.schemas import VersionView
from service.versions.submission import admit, require_read, unpin

router = APIRouter(route_class=Route, prefix="/v1/datasets", tags=["datasets"], responses=documented(401, 403, 422))


@router.get("")
def list_datasets(
    context: Context,
    caller: ReadAccess,
    cursor: Annotated[Name | None, Query(description=CURSOR)] = None,
    limit: PageSize = 20,
) -> DatasetPage:
    """All datasets, by name."""
    page = datasets.page(context.database, caller.tenant, after=cursor or "", limit=limit + 1)
    following = page[limit - 1].name if len(page) > limit else None
    return DatasetPage(items=[dataset_view(dataset) for dataset in page[:limit]], next=following)


@router.get("/{name}", responses=documented(404))
def get_dataset(context: Context, caller: ReadAccess, name: DatasetName) -> DatasetView:
    """A dataset: its latest version, its newest versions and its schedule."""
    return dataset_view(find_dataset(context, caller, name))


@router.delete("/{name}", status_code=202, responses=documented(404, 409))
def delete_dataset(context: Context, caller: SubmitAccess, name: DatasetName) -> DatasetView:
    """Remove a dataset: its schedule at once, its versions as workers remove their files. Then it is not there.

    A version of the same name is a new dataset, whose numbers go on.
    """
    dataset = find_dataset(context, caller, name)
    try:
        deletions.begin_all(context.database, caller.tenant, name)
    except VersionRunning as running:
        raise HTTPException(409, f"version {running} of {name!r} is on its way; cancel it first") from None
    wake_worker(context)
    return dataset_view(datasets.find(context.database, caller.tenant, name) or dataset)


@router.post("/{name}:refresh", status_code=202, responses=documented(400, 404, 409))
def refresh_dataset(
    context: StoreContext,
    caller: SubmitAccess,
    name: DatasetName,
    response: Response,
    request: Annotated[RefreshRequest, Body(openapi_examples={"as before": {"value": {}}})] = RefreshRequest(),  # noqa: B008
    idempotency_key: IdempotencyKey = None,
) -> VersionView:
    """Create the next version from what has changed in the source; if nothing has, it ends as unchanged."""
    spec = require_name(request.spec or default_spec(context, caller, name), name)
    require_read(unpin(spec), context.database, caller.tenant)
    document = admit(unpin(spec), context.settings, context.store(caller))
    idempotent = IdempotentRequest.of(idempotency_key, [f"{name}:refresh", request.model_dump(mode="json")])
    return create_and_wake(context, caller, name, document, idempotent, response, refresh=True)


@router.post("/{name}/versions/{number}/promote", responses=documented(404, 409))
def promote_version(context: Context, caller: SubmitAccess, name: DatasetName, number: VersionNumber) -> DatasetView:
    """Make a version the latest: one that was held, or an older one again."""
    version = find_version(context, caller, name, number)
    if not datasets.promote(context.database, version):
        raise HTTPException(409, f"version {number} of {name!r} is {version.state}; only published ones can be promoted")
    return dataset_view(find_dataset(context, caller, name))
