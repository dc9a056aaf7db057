"""POST /v1/previews: a few images of a spec, at once; nothing of it is kept."""

import secrets
from typing import Annotated

from fastapi import APIRouter, Body, HTTPException
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from pipelines.spec.helpers import check_helpers
from service.api.dependencies import Context, SubmitAccess
from service.api.problems import documented
from service.limits import check
from service.previews.messages import PreviewAnswers, request_preview
from service.previews.schemas import PreviewRequest, PreviewView
from service.versions.schemas import EXAMPLE_SPEC
from service.versions.submission import pin

router = APIRouter(prefix="/v1", tags=["versions"], responses=documented(401, 403, 422, 503))
EXAMPLES = {"spurious": {"value": {"spec": EXAMPLE_SPEC, "count": 4}}}


@router.post("/previews", responses=documented(400))
def create_preview(
    context: Context,
    caller: SubmitAccess,
    request: Annotated[PreviewRequest, Body(openapi_examples=EXAMPLES)],
) -> PreviewView:
    """Up to 16 images of a spec. Nothing is learned, judged or stored."""
    check(request.spec, context.settings)
    check_helpers(request.spec)
    spec = pin(request.spec, context.store(caller)).model_dump(mode="json")
    preview_id = secrets.token_hex(16)
    try:
        request_preview(context.broker, preview_id, caller.tenant, spec, request.count)
        answer = PreviewAnswers(context.settings.broker_url).wait(preview_id)
    except (OperationalError, RedisError, OSError) as error:
        raise HTTPException(503, f"the queue cannot be reached ({type(error).__name__}); try again later") from None
    if answer is None:
        raise HTTPException(503, "no worker was free in time; try again later, or ask for a version")
    if "error" in answer:
        raise HTTPException(422, answer["error"])
    return PreviewView.model_validate(answer)
