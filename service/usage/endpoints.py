"""/v1/usage: what the caller's tenant has, beside what it may have."""

from dataclasses import asdict

from fastapi import APIRouter
from pydantic import BaseModel, Field

from service.api.dependencies import Context, ReadAccess
from service.api.problems import documented
from service.api.routes import Route
from service.caps import Caps
from service.state.usage import usage

router = APIRouter(route_class=Route, prefix="/v1/usage", tags=["usage"], responses=documented(401, 403))


class CapsView(BaseModel):
    """Caps that hold for requests with this key; 0: none."""

    versions_in_flight: int = Field(description="Most versions that have not ended.")
    running_units: int = Field(description="Most units that are worked on at a time.")
    bytes_stored: int = Field(description="Bytes of published versions above which no more is taken in.")
    streams: int = Field(description="Most open streams of events, by API process.")
    webhooks: int = Field(description="Most webhooks.")
    requests_per_second: float = Field(description="Most requests of this key, by API process.")


class UsageView(BaseModel):
    """What a tenant has."""

    versions: int
    versions_in_flight: int = Field(description="Versions that have not ended.")
    running_units: int = Field(description="Units that are worked on now.")
    bytes_stored: int = Field(description="Bytes of published versions.")
    webhooks: int
    caps: CapsView


@router.get("")
def get_usage(context: Context, caller: ReadAccess) -> UsageView:
    """Versions, running units and bytes of the caller's tenant, and its caps."""
    caps = CapsView(**asdict(Caps.of(context.settings, caller.limits)))
    return UsageView(**asdict(usage(context.database, caller.tenant)), caps=caps)
