"""/v1/usage: what the caller's tenant has, beside what it may have."""

from dataclasses import asdict

from fastapi import APIRouter

from service.api.dependencies import Context, ReadAccess
from service.api.problems import documented
from service.api.routes import Route
from service.caps import Caps
from service.state.usage import usage
from service.usage.schemas import CapsView, UsageView
from service.usage.views import cost_view

router = APIRouter(route_class=Route, prefix="/v1/usage", tags=["usage"], responses=documented(401, 403))


@router.get("")
def get_usage(context: Context, caller: ReadAccess) -> UsageView:
    """Versions, running units, bytes and cost of the caller's tenant, and its caps."""
    caps = CapsView(**asdict(Caps.of(context.settings, caller.limits)))
    values = asdict(usage(context.database, caller.tenant))
    cost = cost_view(context.settings, values.pop("cpu_seconds"), values.pop("gpu_seconds"))
    return UsageView(**values, cost=cost, caps=caps)
