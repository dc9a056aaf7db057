"""GET .../samples: every image of a version, kept or dropped and why, with its provenance."""

import re
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Path, Query, Response

from pipelines.source.decode import media_type
from pipelines.store import keys
from pipelines.version import browse, ranked
from service.api.dependencies import ReadAccess, StoreContext
from service.api.parameters import CURSOR, DatasetName, PageSize, VersionNumber
from service.api.problems import documented
from service.api.routes import Route
from service.samples.embedding_map import Region, select
from service.samples.schemas import SamplePage, SampleView
from service.versions.lookups import find_version
from service.versions.views import version_url

router = APIRouter(route_class=Route, prefix="/v1", tags=["samples"], responses=documented(401, 403, 404, 422))
SAMPLE_ID = r"^[0-9]{1,12}-[0-9]{1,6}$"
SampleId = Annotated[str, Path(pattern=SAMPLE_ID, description="Id of the sample.", examples=["17-0"])]


@router.get("/datasets/{name}/versions/{number}/samples", responses=documented(400))
def list_samples(
    context: StoreContext,
    caller: ReadAccess,
    name: DatasetName,
    number: VersionNumber,
    verdict: Annotated[browse.Verdict | None, Query(description="Kept or dropped ones alone.")] = None,
    reason: Annotated[str | None, Query(description="Dropped for a reason that begins so.", max_length=200)] = None,
    label: Annotated[str | None, Query(description="Of this class alone.", max_length=200)] = None,
    group: Annotated[str | None, Query(description="Of this group alone.", max_length=200)] = None,
    score: Annotated[str | None, Query(description="With this score alone: `filter.score`.", max_length=200)] = None,
    least: Annotated[float | None, Query(description="Least value of that score.", allow_inf_nan=False)] = None,
    most: Annotated[float | None, Query(description="Largest value of that score.", allow_inf_nan=False)] = None,
    order: Annotated[Literal["ascending", "descending"] | None, Query(description="By that score.")] = None,
    region: Region = None,
    cursor: Annotated[str | None, Query(description=CURSOR, max_length=40)] = None,
    limit: PageSize = 20,
) -> SamplePage:
    """A page of the samples that are generated so far."""
    if cursor is not None and not re.fullmatch(r"[0-9]{1,9}\.[0-9]{1,9}", cursor):
        raise HTTPException(400, f"cursor: {cursor!r} is none; take `next` of the page before")
    file, row = map(int, cursor.split(".")) if cursor else (0, 0)
    url = version_url(find_version(context, caller, name, number))
    ends = {name: value for name, value in (("least", least), ("most", most)) if value is not None}
    selection = select(context, caller, name, number, region)
    rows = None if selection is None else selection.rows
    criteria = browse.SampleFilter(verdict, reason, label, group, score, **ends, region=rows)
    store, root = context.store(caller), keys.version(name, number)
    if order is None:
        items, following = browse.page(store, root, criteria, (file, row), limit)
    elif score is None:
        raise HTTPException(422, "order: samples are sorted by a score; give one, such as score=quality.sharpness")
    else:
        items, place = ranked.page(store, root, criteria, descending=order == "descending", start=row, limit=limit)
        following = None if place is None else (0, place)
    return SamplePage(
        items=[SampleView(**item, image=f"{url}/samples/{item['id']}/image") for item in items],
        next=None if following is None else f"{following[0]}.{following[1]}",
    )


@router.get("/datasets/{name}/versions/{number}/samples/{sample}")
def get_sample(
    context: StoreContext, caller: ReadAccess, name: DatasetName, number: VersionNumber, sample: SampleId
) -> SampleView:
    """One sample: its verdict, scores and provenance."""
    url = version_url(find_version(context, caller, name, number))
    index, attempt = map(int, sample.split("-"))
    item = browse.find(context.store(caller), keys.version(name, number), index, attempt)
    if item is None:
        raise HTTPException(404, f"version {number} of {name!r} has no sample {sample!r}")
    return SampleView(**item, image=f"{url}/samples/{sample}/image")


@router.get(
    "/datasets/{name}/versions/{number}/samples/{sample}/image",
    response_class=Response,
    responses={200: {"content": {f"image/{name}": {} for name in ("png", "webp", "jpeg")}, "description": "The image."}},
)
def get_image(
    context: StoreContext, caller: ReadAccess, name: DatasetName, number: VersionNumber, sample: SampleId
) -> Response:
    """One sample's image, as it is stored."""
    find_version(context, caller, name, number)
    index, attempt = map(int, sample.split("-"))
    data = browse.image(context.store(caller), keys.version(name, number), index, attempt)
    if data is None:
        raise HTTPException(404, f"version {number} of {name!r} has no sample {sample!r}")
    headers = {"Cache-Control": "private, max-age=31536000, immutable"}
    return Response(data, media_type=media_type(data), headers=headers)
