"""/v1/datasets: which version of each is to be used, and keeping them fresh: refreshed now, by the clock, or put back."""

from typing import Annotated

from fastapi import APIRouter, Body, Header, HTTPException, Query, Response

from pipelines.spec import Name, VersionSpec, parse
from service.api.dependencies import Context, Here, Reader, Submitter
from service.api.problems import documented
from service.state import datasets, schedules, versions
from service.state.api_keys import Caller
from service.state.datasets import Series
from service.state.tables import Schedule
from service.state.versions import Busy, KeyReused, Once
from service.versions.endpoints import EXAMPLE, Dataset, Number, found, link, tell, view
from service.versions.schemas import DatasetPage, DatasetView, Numbered, Refresh, Scheduled, ScheduleView, VersionView
from service.versions.submission import ready, unpinned

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], responses=documented(401, 403, 422))


def schedule_view(row: Schedule) -> ScheduleView:
    return ScheduleView(
        cron=row.cron,
        time_zone=row.time_zone,
        spec=row.spec,
        enabled=row.due is not None,
        busy=row.busy,
        due=row.due,
        fired=row.fired,
        said=row.said,
    )


def dataset_view(series: Series) -> DatasetView:
    home = f"/v1/datasets/{series.name}"
    return DatasetView(
        name=series.name,
        latest=series.latest,
        versions=[Numbered(number=number, state=state) for number, state in series.versions],
        schedule=None if series.schedule is None else schedule_view(series.schedule),
        links={"self": home, "schedule": f"{home}/schedule", "refresh": f"{home}:refresh"}
        | ({"latest": f"{home}/versions/{series.latest}"} if series.latest else {}),
    )


def known(here: Context, who: Caller, name: str) -> Series:
    """A dataset of the caller's. Raises 404."""
    series = datasets.find(here.database, who.tenant, name)
    if series is None:
        raise HTTPException(404, f"there is no dataset {name!r}; the list of datasets names those there are")
    return series


def named(spec: VersionSpec, name: str) -> VersionSpec:
    """Raises 409 for the spec of another dataset."""
    if spec.name != name:
        raise HTTPException(409, f"name: the spec is of {spec.name!r}, the address of {name!r}; make them the same")
    return spec


@router.get("")
def listed(
    here: Here,
    who: Reader,
    cursor: Annotated[Name | None, Query(description="`next` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> DatasetPage:
    """All datasets, by name."""
    found = datasets.page(here.database, who.tenant, after=cursor or "", limit=limit + 1)
    more = found[limit - 1].name if len(found) > limit else None
    return DatasetPage(items=[dataset_view(each) for each in found[:limit]], next=more)


@router.get("/{name}", responses=documented(404))
def one(here: Here, who: Reader, name: Dataset) -> DatasetView:
    """A dataset: which version is to be used, which there are, and when it is refreshed."""
    return dataset_view(known(here, who, name))


@router.post("/{name}:refresh", status_code=202, responses=documented(400, 404, 409))
def refresh(
    here: Here,
    who: Submitter,
    name: Dataset,
    response: Response,
    wanted: Annotated[Refresh, Body(openapi_examples={"as before": {"value": {}}})] = Refresh(),  # noqa: B008
    idempotency_key: Annotated[
        str | None, Header(max_length=200, description="Sent again with the same body, the answer is the same version.")
    ] = None,
) -> VersionView:
    """Look at the source again, and make of what has changed the next version; if nothing has, there is none."""
    document = ready(unpinned(named(wanted.spec or usual(here, who, name), name)), here.settings, here.store(who))
    asked = versions.digest([f"{name}:refresh", wanted.model_dump(mode="json")])
    once = Once(idempotency_key, asked) if idempotency_key else None
    try:
        version = versions.get(here.database, versions.create(here.database, who.tenant, name, document, once, refresh=True))
    except KeyReused:
        raise HTTPException(409, "Idempotency-Key: was used for another request; use a new one") from None
    except Busy as busy:
        raise HTTPException(409, f"version {busy} of {name!r} is on its way; wait for it, or cancel it") from None
    assert version is not None
    tell(here)
    response.headers["Location"] = link(version)
    return view(here, version)


def usual(here: Context, who: Caller, name: str) -> VersionSpec:
    """What a dataset is refreshed from when nobody says. Raises 404, 409."""
    series, newest = known(here, who, name), datasets.base(here.database, who.tenant, name)
    document = series.schedule.spec if series.schedule else newest.spec if newest else None
    if document is None:
        raise HTTPException(409, f"spec: {name!r} has no published version and no schedule to take it from; send one")
    return parse(document)


@router.post("/{name}/versions/{number}/promote", responses=documented(404, 409))
def promote(here: Here, who: Submitter, name: Dataset, number: Number) -> DatasetView:
    """Make a version the latest: one that was held, or an older one again."""
    version = found(here, who, name, number)
    if not datasets.promote(here.database, version):
        raise HTTPException(409, f"version {number} of {name!r} is {version.state}; only published ones can be promoted")
    return dataset_view(known(here, who, name))


@router.put("/{name}/schedule", responses=documented(400, 409))
def put(
    here: Here,
    who: Submitter,
    name: Dataset,
    wanted: Annotated[
        Scheduled,
        Body(openapi_examples={"weekly": {"value": {"cron": "0 3 * * 1", "time_zone": "Europe/Berlin", "spec": EXAMPLE}}}),
    ],
) -> ScheduleView:
    """Refresh a dataset by the clock. Replaces the schedule that it has."""
    spec = unpinned(named(wanted.spec, name))
    ready(spec, here.settings, here.store(who))
    made = schedules.put(
        here.database, who.tenant, name, cron=wanted.cron, time_zone=wanted.time_zone, spec=spec.model_dump(mode="json"),
        enabled=wanted.enabled, busy=wanted.busy,
    )  # fmt: skip
    return schedule_view(made)


@router.get("/{name}/schedule", responses=documented(404))
def schedule(here: Here, who: Reader, name: Dataset) -> ScheduleView:
    """When a dataset is refreshed, and what came of the last time."""
    row = schedules.find(here.database, who.tenant, name)
    if row is None:
        raise HTTPException(404, f"dataset {name!r} has no schedule; PUT one")
    return schedule_view(row)


@router.delete("/{name}/schedule", status_code=204, responses=documented(404))
def unscheduled(here: Here, who: Submitter, name: Dataset) -> None:
    """Refresh a dataset by the clock no more."""
    if not schedules.remove(here.database, who.tenant, name):
        raise HTTPException(404, f"dataset {name!r} has no schedule")
