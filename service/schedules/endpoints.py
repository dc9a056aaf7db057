"""/v1/datasets/{name}/schedule: refresh a dataset by the clock."""

from typing import Annotated

from fastapi import APIRouter, Body, HTTPException

from service.api.dependencies import Context, ReadAccess, StoreContext, SubmitAccess
from service.api.parameters import DatasetName
from service.api.problems import documented
from service.api.routes import Route
from service.schedules.schemas import ScheduleRequest, ScheduleView
from service.schedules.views import schedule_view
from service.state import schedules
from service.versions.lookups import require_name
from service.versions.schemas import EXAMPLE_SPEC
from service.versions.submission import admit, require_read, unpin

router = APIRouter(
    route_class=Route, prefix="/v1/datasets/{name}/schedule", tags=["datasets"], responses=documented(401, 403, 422)
)
WEEKLY = {"cron": "0 3 * * 1", "time_zone": "Europe/Berlin", "spec": EXAMPLE_SPEC}


@router.put("", responses=documented(400, 409))
def put_schedule(
    context: StoreContext,
    caller: SubmitAccess,
    name: DatasetName,
    request: Annotated[ScheduleRequest, Body(openapi_examples={"weekly": {"value": WEEKLY}})],
) -> ScheduleView:
    """Refresh a dataset by the clock. Replaces the schedule that it has."""
    spec = unpin(require_name(request.spec, name))
    require_read(spec, context.database, caller.tenant)
    admit(spec, context.settings, context.store(caller))
    row = schedules.put(
        context.database, caller.tenant, name, cron=request.cron, time_zone=request.time_zone,
        spec=spec.model_dump(mode="json"), enabled=request.enabled, busy=request.busy,
    )  # fmt: skip
    return schedule_view(row)


@router.get("", responses=documented(404))
def get_schedule(context: Context, caller: ReadAccess, name: DatasetName) -> ScheduleView:
    """When a dataset is refreshed, and the outcome of the last time."""
    row = schedules.find(context.database, caller.tenant, name)
    if row is None:
        raise HTTPException(404, f"dataset {name!r} has no schedule; PUT one")
    return schedule_view(row)


@router.delete("", status_code=204, responses=documented(404))
def delete_schedule(context: Context, caller: SubmitAccess, name: DatasetName) -> None:
    """Refresh a dataset by the clock no more."""
    if not schedules.remove(context.database, caller.tenant, name):
        raise HTTPException(404, f"dataset {name!r} has no schedule")
