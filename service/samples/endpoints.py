"""GET .../samples: every image of a version, kept or dropped and why, with where it came from."""

import re
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Path, Query, Response
from pydantic import BaseModel, Field

from pipelines import browse, paths
from service.api.dependencies import Here, Reader
from service.api.problems import documented
from service.versions.endpoints import Dataset, Number, found, link

router = APIRouter(prefix="/v1", tags=["samples"], responses=documented(401, 403, 404, 422))


class SampleView(BaseModel):
    """A generated image and its provenance."""

    id: str = Field(description="Place in the plan and attempt.", examples=["17-0"])
    verdict: Literal["kept", "dropped"]
    reason: str | None = Field(description="Why it was dropped.", examples=["quality: blurred"])
    label: str
    group: str | None = Field(description="Of the source image, whose background it keeps.")
    origin: str | None = Field(description="Class of the source image.")
    source_id: str | None
    source_sha256: str | None
    object_id: str | None = Field(None, description="The image that a real object in it was cut from.")
    object_sha256: str | None = None
    method: str
    prompt: str
    concept: str | None = Field(description="Where the token that it was made with lies in the store.")
    seed: int
    strength: float
    guidance: float
    steps: int
    model: str
    revision: str
    scores: dict[str, Any] = Field(description="What the filters measured.")
    image: str = Field(description="Where its PNG is.")


class SamplePage(BaseModel):
    items: list[SampleView]
    next: str | None = Field(description="Cursor of the next page; none on the last. A page may be short, or empty.")


@router.get("/datasets/{name}/versions/{number}/samples", responses=documented(400))
def samples(
    here: Here,
    who: Reader,
    name: Dataset,
    number: Number,
    verdict: Annotated[browse.Verdict | None, Query(description="Kept or dropped ones alone.")] = None,
    reason: Annotated[str | None, Query(description="Dropped for a reason that begins so.", max_length=200)] = None,
    label: Annotated[str | None, Query(description="Of this class alone.", max_length=200)] = None,
    cursor: Annotated[str | None, Query(description="`next` of the page before.", max_length=40)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> SamplePage:
    """Page through the samples that are made so far."""
    if cursor is not None and not re.fullmatch(r"[0-9]{1,9}\.[0-9]{1,9}", cursor):
        raise HTTPException(400, f"cursor: {cursor!r} is none; take `next` of the page before")
    file, row = map(int, cursor.split(".")) if cursor else (0, 0)
    home = link(found(here, who, name, number))
    wanted = browse.Wanted(verdict, reason, label)
    items, then = browse.page(here.store(who), paths.version(name, number), wanted, (file, row), limit)
    return SamplePage(
        items=[SampleView(**item, image=f"{home}/samples/{item['id']}/image") for item in items],
        next=None if then is None else f"{then[0]}.{then[1]}",
    )


@router.get(
    "/datasets/{name}/versions/{number}/samples/{sample}/image",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}, "description": "The image."}},
)
def image(
    here: Here,
    who: Reader,
    name: Dataset,
    number: Number,
    sample: Annotated[str, Path(pattern=r"^[0-9]{1,12}-[0-9]{1,6}$", description="Id of the sample.", examples=["17-0"])],
) -> Response:
    """One sample's PNG."""
    found(here, who, name, number)
    index, attempt = map(int, sample.split("-"))
    data = browse.image(here.store(who), paths.version(name, number), index, attempt)
    if data is None:
        raise HTTPException(404, f"version {number} of {name!r} has no sample {sample!r}")
    return Response(data, media_type="image/png", headers={"Cache-Control": "private, max-age=31536000, immutable"})
