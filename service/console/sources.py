"""Pages of the sources that were uploaded, and of what a tenant has."""

from fastapi import APIRouter, Response

from service.api.dependencies import Context, ReadAccess, StoreContext
from service.console.pages import PageRoute, Visiting
from service.sources.endpoints import SourceName, get_source, list_sources
from service.usage.endpoints import get_usage

router = APIRouter(route_class=PageRoute)
COUNTED = 24  # sources whose images are counted on the page of all


@router.get("/sources")
def get_all(visit: Visiting, context: StoreContext, caller: ReadAccess) -> Response:
    names = list_sources(context, caller)
    sources = [get_source(context, caller, name) for name in names[:COUNTED]]
    return visit.page("sources.html", sources=sources, others=names[COUNTED:])


@router.get("/sources/{name}")
def get_one(visit: Visiting, context: StoreContext, caller: ReadAccess, name: SourceName) -> Response:
    """What the newest state of a source holds, and what was refused."""
    return visit.page("source.html", source=get_source(context, caller, name))


@router.get("/usage")
def get_tenant_usage(visit: Visiting, context: Context, caller: ReadAccess) -> Response:
    return visit.page("usage.html", usage=get_usage(context, caller))
