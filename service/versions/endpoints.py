"""/v1/datasets/{name}/versions: created, listed, watched, cancelled, retried, removed."""

from typing import Annotated

from fastapi import APIRouter, Body, HTTPException, Query, Response

from pipelines.spec import Name, VersionSpec
from service.api.dependencies import Context, ReadAccess, StoreContext, SubmitAccess
from service.api.parameters import CURSOR, DatasetName, IdempotencyKey, PageSize, VersionNumber
from service.api.problems import documented
from service.api.routes import Route
from service.state import deletions, transitions, versions
from service.state.deletions import VersionRefreshed
from service.state.idempotency import IdempotentRequest
from service.state.lifecycle import State
from service.state.versions import VersionRunning
from service.versions.creation import create_and_wake, wake_worker
from service.versions.lookups import find_version, require_name
from service.versions.schemas import EXAMPLE_SPEC, VersionPage, VersionView
from service.versions.submission import admit, require_read
from service.versions.views import version_view

router = APIRouter(route_class=Route, prefix="/v1", tags=["versions"], responses=documented(401, 403, 422))


@router.post("/datasets/{name}/versions", status_code=202, responses=documented(400, 409))
def create_version(
    context: StoreContext,
    caller: SubmitAccess,
    name: DatasetName,
    spec: Annotated[VersionSpec, Body(openapi_examples={"spurious": {"value": EXAMPLE_SPEC}})],
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> VersionView:
    """Create a version of a dataset from a spec."""
    require_read(spec, context.database, caller.tenant)
    document = admit(require_name(spec, name), context.settings, context.store(caller))
    request = IdempotentRequest.of(idempotency_key, [name, spec.model_dump(mode="json")])
    return create_and_wake(context, caller, name, document, request, response)


@router.get("/versions", responses=documented(400))
def list_versions(
    context: Context,
    caller: ReadAccess,
    dataset: Annotated[Name | None, Query(description="Of this dataset alone.")] = None,
    state: Annotated[State | None, Query(description="In this state alone.")] = None,
    cursor: Annotated[str | None, Query(description=CURSOR, max_length=20)] = None,
    limit: PageSize = 20,
) -> VersionPage:
    """The newest versions first."""
    if cursor is not None and not (cursor.isascii() and cursor.isdigit()):
        raise HTTPException(400, f"cursor: {cursor!r} is none; take `next` of the page before")
    before = None if cursor is None else min(int(cursor), 2**62)
    rows = versions.page(context.database, caller.tenant, dataset=dataset, state=state, before=before, limit=limit + 1)
    following = str(rows[limit - 1].id) if len(rows) > limit else None
    return VersionPage(items=[version_view(context, row) for row in rows[:limit]], next=following)


@router.get("/datasets/{name}/versions/{number}", responses=documented(404))
def get_version(context: Context, caller: ReadAccess, name: DatasetName, number: VersionNumber) -> VersionView:
    """A version: its state, and how far it is."""
    return version_view(context, find_version(context, caller, name, number))


@router.post("/datasets/{name}/versions/{number}/cancel", status_code=202, responses=documented(404, 409))
def cancel_version(context: Context, caller: SubmitAccess, name: DatasetName, number: VersionNumber) -> VersionView:
    """Stop working on a version. Generated shards stay, and `retry` goes on from there."""
    version = find_version(context, caller, name, number)
    if not transitions.cancel(context.database, version.id):
        raise HTTPException(409, f"version {number} of {name!r} is {version.state}: there is nothing to cancel")
    return version_view(context, find_version(context, caller, name, number))


@router.post("/datasets/{name}/versions/{number}/retry", status_code=202, responses=documented(404, 409))
def retry_version(context: Context, caller: SubmitAccess, name: DatasetName, number: VersionNumber) -> VersionView:
    """Go on with a version that failed, was cancelled or could not be evaluated. Only what is missing runs."""
    version = find_version(context, caller, name, number)
    if not transitions.retry(context.database, version.id):
        raise HTTPException(
            409, f"version {number} of {name!r} is {version.state}; only failed, cancelled and unevaluated ones are retried"
        )
    wake_worker(context)
    return version_view(context, find_version(context, caller, name, number))


@router.delete("/datasets/{name}/versions/{number}", status_code=202, responses=documented(404, 409))
def delete_version(context: Context, caller: SubmitAccess, name: DatasetName, number: VersionNumber) -> VersionView:
    """Remove a version that has ended, with its files, but for those that a later version holds, too.

    It is `deleting` until a worker has removed the files, and then not there; to ask again is fine. Its number is not given
    again; learned tokens and LoRAs stay.
    """
    version = find_version(context, caller, name, number)
    try:
        deletions.begin(context.database, version.id)
    except VersionRunning:
        raise HTTPException(409, f"version {number} of {name!r} is {version.state}; cancel it first") from None
    except VersionRefreshed as refresh:
        raise HTTPException(
            409, f"version {refresh} of {name!r} is being made from {number}; wait for it, or cancel it"
        ) from None
    wake_worker(context)
    return version_view(context, versions.get(context.database, version.id) or version)
