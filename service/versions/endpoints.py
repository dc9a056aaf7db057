"""/v1/datasets/{name}/versions: asked for, watched, cancelled, tried again."""

import contextlib
import time
from typing import Annotated

from fastapi import APIRouter, Body, Header, HTTPException, Path, Query, Response
from kombu.exceptions import OperationalError

from pipelines.refresh import discard
from pipelines.spec import Name, VersionSpec
from service.api.dependencies import Context, Here, Reader, Submitter
from service.api.problems import documented
from service.broker import wake
from service.state import versions
from service.state.api_keys import Caller
from service.state.lifecycle import ENDED, State
from service.state.tables import Version
from service.state.versions import KeyReused, Once
from service.versions.schemas import Done, VersionPage, VersionView
from service.versions.submission import ready

router = APIRouter(prefix="/v1", tags=["versions"], responses=documented(401, 403, 422))
Dataset = Annotated[Name, Path(description="Name of the dataset.", examples=["shoes"])]
Number = Annotated[int, Path(ge=1, le=2**31 - 1, description="Number of the version, from 1.")]
EXAMPLE = {
    "name": "shoes",
    "source": {"type": "spurious"},
    "method": {"type": "spurious_removal", "superclass": "shoe"},
    "amount": {"per_class": 300},
    "filters": [{"type": "quality"}, {"type": "label_agreement"}],
}


def link(version: Version) -> str:
    return f"/v1/datasets/{version.dataset}/versions/{version.number}"


def seconds_left(version: Version, shards: Done | None) -> float | None:
    """Of generation, at the rate so far; None before the first shard is done, and after the last."""
    if version.state != "generating" or shards is None or not shards.done:
        return None
    return float((time.time() - version.entered["generating"]) / shards.done * (shards.of - shards.done))


def view(here: Context, version: Version) -> VersionView:
    home = link(version)
    return VersionView(
        dataset=version.dataset,
        number=version.number,
        state=version.state,
        previous=version.previous,
        entered=version.entered,
        units=(units := {stage: Done(**done) for stage, done in versions.progress(here.database, version.id).items()}),
        counts=version.counts,
        seconds_left=seconds_left(version, units.get("generate")),
        error=version.error,
        spec=version.spec,
        links={
            "self": home,
            "events": f"{home}/events",
            "cancel": f"{home}/cancel",
            "retry": f"{home}/retry",
            "promote": f"{home}/promote",
            "files": f"{home}/files",
            "samples": f"{home}/samples",
        },
    )


def found(here: Context, who: Caller, name: str, number: int) -> Version:
    """A version of the caller's. Raises 404: of another tenant's version one learns nothing."""
    version = versions.find(here.database, who.tenant, name, number)
    if version is None:
        raise HTTPException(404, f"dataset {name!r} has no version {number}; the list of versions names those there are")
    return version


def tell(here: Context) -> None:
    """Wake a worker, if the queue is there. If not, the scheduler does, later: the version is in the database."""
    with contextlib.suppress(OperationalError, OSError):
        wake(here.queue, "cpu", here.settings.sweep_seconds)


@router.post("/datasets/{name}/versions", status_code=202, responses=documented(400, 409))
def create(
    here: Here,
    who: Submitter,
    name: Dataset,
    spec: Annotated[VersionSpec, Body(openapi_examples={"spurious": {"value": EXAMPLE}})],
    response: Response,
    idempotency_key: Annotated[
        str | None, Header(max_length=200, description="Sent again with the same body, the answer is the same version.")
    ] = None,
) -> VersionView:
    """Ask for a new version of a dataset."""
    if spec.name != name:
        raise HTTPException(409, f"name: the spec is of {spec.name!r}, the address of {name!r}; make them the same")
    document = ready(spec, here.settings, here.store(who))
    once = Once(idempotency_key, versions.digest([name, spec.model_dump(mode="json")])) if idempotency_key else None
    try:
        version = versions.get(here.database, versions.create(here.database, who.tenant, name, document, once))
    except KeyReused:
        raise HTTPException(409, "Idempotency-Key: was used for another request; use a new one") from None
    assert version is not None
    tell(here)
    response.headers["Location"] = link(version)
    return view(here, version)


@router.get("/versions", responses=documented(400))
def listed(
    here: Here,
    who: Reader,
    dataset: Annotated[Name | None, Query(description="Of this dataset alone.")] = None,
    state: Annotated[State | None, Query(description="In this state alone.")] = None,
    cursor: Annotated[str | None, Query(description="`next` of the page before.", max_length=20)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> VersionPage:
    """The newest versions first."""
    if cursor is not None and not (cursor.isascii() and cursor.isdigit()):
        raise HTTPException(400, f"cursor: {cursor!r} is none; take `next` of the page before")
    before = None if cursor is None else min(int(cursor), 2**62)
    page = versions.page(here.database, who.tenant, dataset=dataset, state=state, before=before, limit=limit + 1)
    more = str(page[limit - 1].id) if len(page) > limit else None
    return VersionPage(items=[view(here, version) for version in page[:limit]], next=more)


@router.get("/datasets/{name}/versions/{number}", responses=documented(404))
def one(here: Here, who: Reader, name: Dataset, number: Number) -> VersionView:
    """A version: its state, and how far it is."""
    return view(here, found(here, who, name, number))


@router.post("/datasets/{name}/versions/{number}/cancel", status_code=202, responses=documented(404, 409))
def cancel(here: Here, who: Submitter, name: Dataset, number: Number) -> VersionView:
    """Stop working on a version. What was made stays, and can be gone on with by `retry`."""
    version = found(here, who, name, number)
    if not versions.cancel(here.database, version.id):
        raise HTTPException(409, f"version {number} of {name!r} is {version.state}: there is nothing to cancel")
    return view(here, found(here, who, name, number))


@router.post("/datasets/{name}/versions/{number}/retry", status_code=202, responses=documented(404, 409))
def retry(here: Here, who: Submitter, name: Dataset, number: Number) -> VersionView:
    """Go on with a failed or cancelled version. Only what is missing runs."""
    version = found(here, who, name, number)
    if not versions.retry(here.database, version.id):
        raise HTTPException(
            409, f"version {number} of {name!r} is {version.state}; only failed and cancelled ones are retried"
        )
    tell(here)
    return view(here, found(here, who, name, number))


@router.delete("/datasets/{name}/versions/{number}", status_code=204, responses=documented(404, 409))
def delete(here: Here, who: Submitter, name: Dataset, number: Number) -> None:
    """Remove a version that has ended, with its files, but for those that a later version holds, too.

    Its number is not given again; what was learned for it stays.
    """
    version = found(here, who, name, number)
    if version.state not in ENDED:
        raise HTTPException(409, f"version {number} of {name!r} is {version.state}; cancel it first")
    if (later := versions.refreshing(here.database, version)) is not None:
        raise HTTPException(409, f"version {later} of {name!r} is being made from {number}; wait for it, or cancel it")
    discard(here.store(who), name, number)
    if not versions.remove(here.database, version):
        raise HTTPException(409, f"version {number} of {name!r} was tried again meanwhile; cancel it first")
