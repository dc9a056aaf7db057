"""Pages of the sources that were uploaded, with what an inspection found in them, and of what a tenant has."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Response

from pipelines.inspection.findings import KINDS
from pipelines.source.decode import media_type
from pipelines.store import keys
from service.api.dependencies import AppContextWithStore, Context, ReadAccess, StoreContext, SubmitAccess
from service.console.pages import PageRoute, Visiting
from service.samples.endpoints import FOREVER
from service.sources.endpoints import SourceName, get_source, list_sources
from service.sources.inspection import LARGEST, InspectionView, get_inspection, start_inspection
from service.sources.schemas import SourceView
from service.state.api_keys import Caller
from service.usage.endpoints import get_usage

router = APIRouter(route_class=PageRoute)
COUNTED = 24  # sources whose images are counted on the page of all
DISPLAYED = 12  # findings of a kind


@router.get("/sources")
def get_all(visit: Visiting, context: StoreContext, caller: ReadAccess) -> Response:
    names = list_sources(context, caller)
    sources = [get_source(context, caller, name) for name in names[:COUNTED]]
    return visit.page("sources.html", sources=sources, others=names[COUNTED:])


@router.get("/sources/{name}")
async def get_one(visit: Visiting, context: StoreContext, caller: ReadAccess, name: SourceName) -> Response:
    """What the newest state of a source holds, what was refused, and what an inspection found."""
    source = await context.pools.store.run(get_source, context, caller, name)
    return visit.page(
        "source.html",
        source=source,
        inspection=await inspection_of(context, caller, source),
        kinds=KINDS,
        displayed=DISPLAYED,
        inspectable=source.images <= LARGEST,
    )


async def inspection_of(context: AppContextWithStore, caller: Caller, source: SourceView) -> InspectionView:
    """The inspection of a source; while the broker is away, that it cannot be asked."""
    try:
        return await get_inspection(context, caller, source.name)
    except HTTPException as error:
        if error.status_code != 503:
            raise
        return InspectionView(digest=source.digest, state="none", error=error.detail)


@router.post("/sources/{name}/inspect")
async def inspect(visit: Visiting, context: StoreContext, caller: SubmitAccess, name: SourceName) -> Response:
    """Have a worker inspect it; the page loads itself again until that is done."""
    await start_inspection(context, caller, name)
    return visit.go(f"/sources/{name}")


@router.get("/sources/{name}/images/{sha256}")
def get_image(
    context: StoreContext, caller: ReadAccess, name: SourceName, sha256: Annotated[str, Path(pattern="^[0-9a-f]{64}$")]
) -> Response:
    """An image that was uploaded, by its content."""
    store = context.store(caller)
    if not store.exists(keys.blob(sha256)):
        raise HTTPException(404, f"source {name!r} does not have this image any more")
    data = store.get(keys.blob(sha256))
    return Response(data, media_type=media_type(data), headers=FOREVER)


@router.get("/usage")
def get_tenant_usage(visit: Visiting, context: Context, caller: ReadAccess) -> Response:
    return visit.page("usage.html", usage=get_usage(context, caller))
