"""/v1/sources/{name}/inspection: an uploaded source's own faults. A worker looks for them as it makes a preview, without a
lease: what is lost is asked for again. What it has found is kept beside the state of the source."""

from typing import Any, Literal

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, Field

from pipelines.source.upload import newest, summary
from pipelines.store import keys
from service.api.dependencies import AppContextWithStore, ReadAccess, StoreContext, SubmitAccess
from service.api.pools import RETRY_AFTER
from service.api.problems import documented
from service.api.routes import Route
from service.previews.endpoints import reached
from service.previews.messages import request_inspection
from service.sources.endpoints import SourceName
from service.state.api_keys import Caller

router = APIRouter(route_class=Route, prefix="/v1/sources", tags=["sources"], responses=documented(401, 403, 404, 422, 503))
LARGEST = 20_000  # images: more take longer than a worker may be away from its units


class InspectionView(BaseModel):
    """What was found in the newest state of a source."""

    digest: str = Field(description="Of that state.")
    state: Literal["none", "pending", "done", "failed"]
    document: dict[str, Any] | None = Field(None, description="Once done: as inspect.json of `counterpoise inspect`.")
    error: str | None = Field(None, description="Why it failed.")


@router.post("/{name}/inspection", status_code=202, responses=documented(429))
async def start_inspection(context: StoreContext, caller: SubmitAccess, name: SourceName) -> InspectionView:
    """Have a worker look for leaks between splits, copies, likely wrong labels, blank images and small classes."""
    digest = await context.pools.store.run(inspected, context, caller, name)
    identity, most = f"inspection-{digest}", context.settings.max_previews
    with reached():
        if not await context.previews.begin(caller.tenant, identity, most):
            raise HTTPException(429, f"{most} previews and inspections are on their way; wait for one of them", RETRY_AFTER)
        try:
            await context.pools.broker.run(request_inspection, context.broker, identity, caller.tenant, name, digest)
        except Exception:
            await context.previews.drop(caller.tenant, identity)
            raise
    return InspectionView(digest=digest, state="pending")


def inspected(context: AppContextWithStore, caller: Caller, name: str) -> str:
    """The digest of the newest state. Raises 404, and 422 for one that is too large."""
    store = context.store(caller)
    digest = newest(store, name)
    if digest is None:
        raise HTTPException(404, f"there is no source {name!r}; send it by PUT")
    images = summary(store, name, digest)["images"]
    if images > LARGEST:
        raise HTTPException(
            422, f"source {name!r} has {images} images, more than {LARGEST}; run `counterpoise inspect` where they lie"
        )
    return digest


def stored(context: AppContextWithStore, caller: Caller, name: str) -> InspectionView:
    """What is stored of the newest state. Raises 404."""
    store = context.store(caller)
    digest = newest(store, name)
    if digest is None:
        raise HTTPException(404, f"there is no source {name!r}; send it by PUT")
    key = keys.inspection(name, digest)
    if store.exists(key):
        return InspectionView(digest=digest, state="done", document=store.json(key))
    return InspectionView(digest=digest, state="none")


@router.get("/{name}/inspection")
async def get_inspection(context: StoreContext, caller: ReadAccess, name: SourceName) -> InspectionView:
    """What was found in the newest state of a source; `none` before anybody has asked for it."""
    view = await context.pools.store.run(stored, context, caller, name)
    if view.state == "done":
        return view
    with reached():
        record = await context.previews.find(caller.tenant, f"inspection-{view.digest}")
    if record is None or record["state"] == "done":  # of which the file is gone
        return view
    return InspectionView(digest=view.digest, state=record["state"], error=record.get("error"))
