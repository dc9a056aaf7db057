"""POST /v1/previews: a few images of a spec, at once; nothing of it is kept."""

import secrets
from typing import Annotated

from fastapi import APIRouter, Body, HTTPException
from kombu.exceptions import OperationalError
from pydantic import BaseModel, Field
from redis.exceptions import RedisError

from pipelines.spec import VersionSpec
from service.api.dependencies import Here, Submitter
from service.api.problems import documented
from service.broker import Answers, ask_preview
from service.limits import check
from service.versions.endpoints import EXAMPLE
from service.versions.submission import pinned

router = APIRouter(prefix="/v1", tags=["versions"], responses=documented(401, 403, 422, 503))


class Wanted(BaseModel):
    spec: VersionSpec
    count: int = Field(8, ge=1, le=16, description="Images.")


class Glimpse(BaseModel):
    """One image."""

    label: str
    origin: str | None = Field(description="Class of the source image.")
    prompt: str
    image: str = Field(description="data: URL of the PNG.")
    source: str | None = Field(description="data: URL of the source image, if there is one.")


class PreviewView(BaseModel):
    learned: bool = Field(
        description="Whether tokens of an earlier version were used. If not, classes are said by their names."
    )
    images: list[Glimpse]


@router.post("/previews", responses=documented(400))
def preview(
    here: Here,
    who: Submitter,
    wanted: Annotated[Wanted, Body(openapi_examples={"spurious": {"value": {"spec": EXAMPLE, "count": 4}}})],
) -> PreviewView:
    """Up to 16 images of a spec. Nothing is learned, judged or stored."""
    check(wanted.spec, here.settings)
    spec = pinned(wanted.spec, here.store(who)).model_dump(mode="json")
    number = secrets.token_hex(16)
    try:
        ask_preview(here.queue, number, who.tenant, spec, wanted.count)
        answer = Answers(here.settings.broker_url).wait(number)
    except (OperationalError, RedisError, OSError) as error:
        raise HTTPException(503, f"the queue cannot be reached ({type(error).__name__}); try again later") from None
    if answer is None:
        raise HTTPException(503, "no worker was free in time; try again later, or ask for a version")
    if "error" in answer:
        raise HTTPException(422, answer["error"])
    return PreviewView.model_validate(answer)
