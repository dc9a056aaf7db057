"""GET .../samples: every image of a version, kept or dropped and why, with its provenance."""

import re
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Path, Query, Response

from pipelines.source.decode import media_type
from pipelines.store import keys
from pipelines.version import browse, ranked
from pipelines.version.verdicts import SAMPLE_ID, Decision, by_sample, samples_to
from service.api.dependencies import AppContextWithStore, ReadAccess, StoreContext
from service.api.parameters import CURSOR, DatasetName, PageSize, VersionNumber
from service.api.problems import documented
from service.api.routes import Route
from service.samples import decided
from service.samples.embedding_map import Region, select
from service.samples.schemas import SamplePage, SampleView
from service.state import verdicts
from service.state.api_keys import Caller
from service.versions.lookups import find_version
from service.versions.views import version_url

router = APIRouter(route_class=Route, prefix="/v1", tags=["samples"], responses=documented(401, 403, 404, 422))
SampleId = Annotated[str, Path(pattern=SAMPLE_ID, description="Id of the sample.", examples=["17-0"])]
FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}


def sample_view(version: str, item: dict[str, Any]) -> SampleView:
    """A sample of the version at this URL."""
    url = f"{version}/samples/{item['id']}"
    mask = None if item.get("box") is None else f"{url}/mask"
    return SampleView(**item, image=f"{url}/image", mask=mask)


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
    decision: Annotated[Decision | None, Query(description="That people decided so alone.")] = None,
    region: Region = None,
    cursor: Annotated[str | None, Query(description=CURSOR, max_length=40)] = None,
    limit: PageSize = 20,
) -> SamplePage:
    """A page of the samples that are generated so far."""
    if cursor is not None and not re.fullmatch(r"[0-9]{1,9}\.[0-9]{1,9}", cursor):
        raise HTTPException(400, f"cursor: {cursor!r} is none; take `next` of the page before")
    file, row = map(int, cursor.split(".")) if cursor else (0, 0)
    version = find_version(context, caller, name, number)
    url = version_url(version)
    ends = {name: value for name, value in (("least", least), ("most", most)) if value is not None}
    selection = select(context, caller, name, number, region)
    rows = None if selection is None else selection.rows
    criteria = browse.SampleFilter(verdict, reason, label, group, score, **ends, region=rows)
    store, root = context.store(caller), keys.version(name, number)
    if decision is not None:
        if order is not None:
            raise HTTPException(422, "order: samples that people decided about are in the order of their ids; leave it out")
        if region is not None:
            raise HTTPException(422, "region: samples that people decided about are not looked for on the map; leave it out")
        chosen = sorted(samples_to(decision, by_sample(verdicts.of_version(context.database, version.id))))
        items, following = decided.page(store, root, criteria, chosen, row, limit)
    elif order is None:
        items, following = browse.page(store, root, criteria, (file, row), limit)
    elif score is None:
        raise HTTPException(422, "order: samples are sorted by a score; give one, such as score=quality.sharpness")
    else:
        items, following = ranked.page(
            store, root, criteria, descending=order == "descending", start=(file, row), limit=limit
        )
    return SamplePage(
        items=[sample_view(url, item) for item in items],
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
    return sample_view(url, item)


@router.get(
    "/datasets/{name}/versions/{number}/samples/{sample}/image",
    response_class=Response,
    responses={200: {"content": {f"image/{name}": {} for name in ("png", "webp", "jpeg")}, "description": "The image."}},
)
def get_image(
    context: StoreContext, caller: ReadAccess, name: DatasetName, number: VersionNumber, sample: SampleId
) -> Response:
    """One sample's image, as it is stored."""
    data = stored_image(context, caller, name, number, sample, "image")
    if data is None:
        raise HTTPException(404, f"version {number} of {name!r} has no sample {sample!r}")
    return Response(data, media_type=media_type(data), headers=FOREVER)


@router.get(
    "/datasets/{name}/versions/{number}/samples/{sample}/mask",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}, "description": "The mask, one bit a pixel, as large as the image."}},
)
def get_mask(
    context: StoreContext, caller: ReadAccess, name: DatasetName, number: VersionNumber, sample: SampleId
) -> Response:
    """Where the labelled object stands in one sample: white inside."""
    data = stored_image(context, caller, name, number, sample, "mask")
    if data is None:
        raise HTTPException(404, f"version {number} of {name!r} has no sample {sample!r} with a mask")
    return Response(data, media_type="image/png", headers=FOREVER)


def stored_image(
    context: AppContextWithStore, caller: Caller, name: str, number: int, sample: str, column: browse.Picture
) -> bytes | None:
    find_version(context, caller, name, number)
    index, attempt = map(int, sample.split("-"))
    return browse.image(context.store(caller), keys.version(name, number), index, attempt, column)
