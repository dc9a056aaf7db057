"""Pages of datasets: all of them with the newest versions, and one with its versions and its schedule."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from pipelines.spec import Name
from service.api.dependencies import Context, ReadAccess, StoreContext, SubmitAccess
from service.api.parameters import DatasetName
from service.console.pages import Form, PageRoute, Visiting
from service.datasets.endpoints import delete_dataset, get_dataset, list_datasets, refresh_dataset
from service.datasets.lookups import default_spec
from service.datasets.schemas import DatasetView
from service.schedules.endpoints import delete_schedule, put_schedule
from service.schedules.schemas import ScheduleRequest
from service.versions.endpoints import list_versions

router = APIRouter(route_class=PageRoute)
NEWEST = 8  # versions on the first page
CURSOR = Query(max_length=80)


def get_start(
    visit: Visiting, context: Context, caller: ReadAccess, cursor: Annotated[Name | None, CURSOR] = None
) -> Response:
    """All datasets; before them the newest versions, with what is on its way."""
    datasets = list_datasets(context, caller, cursor=cursor, limit=50)
    newest = [] if cursor else list_versions(context, caller, limit=NEWEST).items
    return visit.page("datasets.html", datasets=datasets, newest=newest)


@router.get("/datasets/{name}")
def get_one(
    visit: Visiting,
    context: Context,
    caller: ReadAccess,
    name: DatasetName,
    cursor: Annotated[str | None, CURSOR] = None,
) -> Response:
    dataset = get_dataset(context, caller, name)
    versions = list_versions(context, caller, dataset=name, cursor=cursor, limit=50)
    return visit.page("dataset.html", dataset=dataset, versions=versions)


@router.post("/datasets/{name}/refresh")
def refresh(visit: Visiting, context: StoreContext, caller: SubmitAccess, name: DatasetName) -> Response:
    """The next version, of what has changed in the source."""
    version = refresh_dataset(context, caller, name, Response())
    return visit.go(f"/datasets/{name}/versions/{version.number}")


@router.post("/datasets/{name}/delete")
def delete(visit: Visiting, context: Context, caller: SubmitAccess, name: DatasetName) -> Response:
    delete_dataset(context, caller, name)
    return visit.go("")


@router.post("/datasets/{name}/schedule")
def schedule(visit: Visiting, context: StoreContext, caller: SubmitAccess, name: DatasetName, fields: Form) -> Response:
    """Refresh by the clock, from the spec that a refresh would take now."""
    request = ScheduleRequest.model_validate(
        {
            "cron": fields.get("cron", "").strip(),
            "time_zone": fields.get("time_zone", "").strip() or "UTC",
            "busy": fields.get("busy", "skip"),
            "enabled": "enabled" in fields,
            "spec": default_spec(context, caller, name),
        }
    )
    put_schedule(context, caller, name, request)
    return visit.go(f"/datasets/{name}")


@router.post("/datasets/{name}/unschedule")
def unschedule(visit: Visiting, context: Context, caller: SubmitAccess, name: DatasetName) -> Response:
    delete_schedule(context, caller, name)
    return visit.go(f"/datasets/{name}")


@router.get("/schedules")
def get_schedules(
    visit: Visiting, context: Context, caller: ReadAccess, cursor: Annotated[Name | None, CURSOR] = None
) -> Response:
    """The datasets that are refreshed by the clock."""
    datasets = list_datasets(context, caller, cursor=cursor, limit=100)
    scheduled: list[DatasetView] = [dataset for dataset in datasets.items if dataset.schedule]
    return visit.page("schedules.html", scheduled=scheduled, next=datasets.next)
