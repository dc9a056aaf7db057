"""Pages of a version's samples: a grid that is filtered and paged, and one sample beside its source."""

from dataclasses import asdict, dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Response

from pipelines.store import keys
from pipelines.store.object_store import Store
from pipelines.version import browse, ranked
from pipelines.version.plan import Plan, read_plan
from pipelines.version.verdicts import HumanVerdict
from service.api.dependencies import ReadAccess, StoreContext, SubmitAccess
from service.api.parameters import DatasetName, VersionNumber
from service.console.gate import local
from service.console.pages import Form, PageRoute, Visiting, with_query
from service.console.sessions import PATH
from service.samples.embedding_map import select
from service.samples.endpoints import SampleId, get_image, get_mask, get_sample, list_samples
from service.samples.schemas import VerdictRequest
from service.samples.verdicts import delete_verdict, list_verdicts, put_verdict
from service.state.api_keys import Caller
from service.versions.endpoints import get_version

router = APIRouter(route_class=PageRoute)
SAMPLES = "/datasets/{name}/versions/{number}/samples"
PAGE = 60
PART = 1000  # samples of a sorted grid
Text = Annotated[str, Query(max_length=200)]
RegionText = Annotated[str, Query(max_length=4000)]


def figure(text: str, field: str) -> float | None:
    """A number of the form; None where nothing was written. Raises 422."""
    try:
        return float(text) if text.strip() else None
    except ValueError:
        raise HTTPException(422, f"{field}: {text!r} is no number; give one such as 0.5, or nothing") from None


@dataclass(frozen=True, slots=True)
class Criteria:
    """What a grid holds, as its form has it: an empty text stands for anything."""

    verdict: Text = ""
    label: Text = ""
    group: Text = ""
    reason: Text = ""
    score: Text = ""
    least: Text = ""
    most: Text = ""
    order: Text = ""
    decision: Text = ""
    region: RegionText = ""  # of the map

    @property
    def filters(self) -> dict[str, Any]:
        """The parameters of the API's list. Raises 422."""
        values: dict[str, Any] = {name: value or None for name, value in asdict(self).items()}
        if self.verdict not in ("", "kept", "dropped"):
            raise HTTPException(422, f"verdict: {self.verdict!r} is none; give kept or dropped, or nothing")
        if self.decision not in ("", "keep", "drop"):
            raise HTTPException(422, f"decision: {self.decision!r} is none; give keep or drop, or nothing")
        if self.order not in ("", "ascending", "descending"):
            raise HTTPException(422, f"order: {self.order!r} is none; give ascending or descending, or nothing")
        return {**values, "least": figure(self.least, "least"), "most": figure(self.most, "most")}


Filtering = Annotated[Criteria, Depends()]
Cursor = Annotated[str, Query(max_length=40)]


def decided(context: StoreContext, caller: Caller, name: str, number: int) -> dict[str, HumanVerdict]:
    """What people decided, by the ids of samples."""
    return {verdict.sample: verdict for verdict in list_verdicts(context, caller, name, number)}


def parts_of(store: Store, root: str, plan: Plan | None, criteria: Criteria) -> int:
    """Into how many parts a grid is divided, to jump to."""
    if criteria.decision or criteria.region:
        return 0
    if criteria.order:
        return -(-ranked.count(store, root, criteria.score) // PART)
    only = browse.SampleFilter(criteria.filters["verdict"], criteria.filters["reason"])
    return len(browse.files(plan, only)) if plan else 0


@router.get(SAMPLES)
def get_grid(
    visit: Visiting, context: StoreContext, caller: ReadAccess, name: DatasetName, number: VersionNumber,
    criteria: Filtering, cursor: Cursor = "", part: Annotated[int | None, Query(ge=1, le=10**9)] = None,
) -> Response:  # fmt: skip
    """A page of the grid, from a cursor on or, to jump, from a part on: a data file of a shard or, of a sorted one, so many
    samples."""
    version = get_version(context, caller, name, number)
    store, root = context.store(caller), keys.version(name, number)
    plan = read_plan(store, root)
    start = (f"{ranked.STORED}.{(part - 1) * PART}" if criteria.order else f"{part - 1}.0") if part else cursor
    samples = list_samples(context, caller, name, number, **criteria.filters, cursor=start or None, limit=PAGE)
    selection = select(context, caller, name, number, criteria.region or None)
    shard, row = map(int, (start or "0.0").split("."))
    return visit.page(
        "samples.html",
        version=version,
        samples=samples,
        criteria=asdict(criteria),
        selection=selection,
        cursor=start,
        classes=sorted(plan.per_class) if plan else [],
        decided=decided(context, caller, name, number),
        parts=parts_of(store, root, plan, criteria),
        place=1 + (row // PART if criteria.order else shard),
        scores=sorted({score for sample in samples.items for score in sample.scores}),
    )


@router.get(SAMPLES + "/{sample}")
def get_one(
    visit: Visiting, context: StoreContext, caller: ReadAccess, name: DatasetName, number: VersionNumber,
    sample: SampleId, criteria: Filtering, cursor: Cursor = "",
) -> Response:  # fmt: skip
    """One sample, with its neighbours on the page of the grid that begins at the cursor."""
    view = get_sample(context, caller, name, number, sample)
    page = list_samples(context, caller, name, number, **criteria.filters, cursor=cursor or None, limit=PAGE)
    ids = [item.id for item in page.items]
    place = ids.index(sample) if sample in ids else None
    url, given = f"{PATH}/datasets/{name}/versions/{number}/samples", asdict(criteria)
    grid = with_query(url, **given, cursor=cursor)
    before = after = None
    if place is not None:
        before = with_query(f"{url}/{ids[place - 1]}", **given, cursor=cursor) if place else None
        after = with_query(f"{url}/{ids[place + 1]}", **given, cursor=cursor) if place + 1 < len(ids) else None
        if after is None and page.next:
            after = with_query(url, **given, cursor=page.next)
    return visit.page(
        "sample.html",
        name=name,
        number=number,
        sample=view,
        grid=grid,
        before=before,
        after=after,
        decided=decided(context, caller, name, number).get(sample),
    )


@router.post(SAMPLES + "/{sample}/verdict")
def decide(
    visit: Visiting, context: StoreContext, caller: SubmitAccess, name: DatasetName, number: VersionNumber,
    sample: SampleId, fields: Form,
) -> Response:  # fmt: skip
    """Keep or drop a sample, or take that back; then on to the next one."""
    decision = fields.get("decision", "")
    if decision == "undo":
        delete_verdict(context, caller, name, number, sample)
    elif decision in ("keep", "drop"):
        put_verdict(context, caller, name, number, sample, VerdictRequest.model_validate({"decision": decision}))
    else:
        raise HTTPException(422, f"decision: {decision!r} is none; give keep, drop or undo")
    own = f"{PATH}/datasets/{name}/versions/{number}/samples/{sample}"
    return visit.go(local(fields.get("next") or own).removeprefix(PATH))


@router.get(SAMPLES + "/{sample}/image")
def image(context: StoreContext, caller: ReadAccess, name: DatasetName, number: VersionNumber, sample: SampleId) -> Response:
    return get_image(context, caller, name, number, sample)


@router.get(SAMPLES + "/{sample}/mask")
def mask(context: StoreContext, caller: ReadAccess, name: DatasetName, number: VersionNumber, sample: SampleId) -> Response:
    return get_mask(context, caller, name, number, sample)
