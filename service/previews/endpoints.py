"""/v1/previews: a few images of a spec, in seconds; nothing of it is kept. No thread waits for them."""

import asyncio
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Body, HTTPException, Path, Query, Response
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from service.api.dependencies import AppContextWithStore, Context, StoreContext, SubmitAccess
from service.api.pools import RETRY_AFTER
from service.api.problems import TITLES, documented
from service.api.routes import Route
from service.previews.messages import request_preview
from service.previews.schemas import PreviewFailure, PreviewRequest, PreviewView
from service.state.api_keys import Caller
from service.versions.schemas import EXAMPLE_SPEC
from service.versions.submission import admit

router = APIRouter(route_class=Route, prefix="/v1/previews", tags=["versions"], responses=documented(401, 403, 422, 503))
EXAMPLES = {"spurious": {"value": {"spec": EXAMPLE_SPEC, "count": 4}}}
POLL_SECONDS = 0.2  # between looks at the broker, of those who wait
LONGEST_WAIT = 20


@router.post("", status_code=202, responses=documented(400, 429))
async def create_preview(
    context: StoreContext,
    caller: SubmitAccess,
    request: Annotated[PreviewRequest, Body(openapi_examples=EXAMPLES)],
    response: Response,
) -> PreviewView:
    """Ask for up to 16 images of a spec, and a forecast of its worth. Nothing is learned or stored; the answer's address has
    them soon."""
    spec = await context.pools.store.run(previewed, context, caller, request)
    preview_id, most = secrets.token_hex(16), context.settings.max_previews
    with reached():
        if not await context.previews.begin(caller.tenant, preview_id, most):
            raise HTTPException(429, f"{most} previews are on their way; wait for one of them", RETRY_AFTER)
        try:
            arguments = preview_id, caller.tenant, spec, request.count, request.forecast
            await context.pools.broker.run(request_preview, context.broker, *arguments)
        except Exception:
            await context.previews.drop(caller.tenant, preview_id)
            raise
    response.headers["Location"] = f"/v1/previews/{preview_id}"
    return PreviewView(id=preview_id, state="pending")


def previewed(context: AppContextWithStore, caller: Caller, request: PreviewRequest) -> dict[str, Any]:
    """The spec as JSON, admitted. Raises SpecError or ModelError."""
    return admit(request.spec, context.settings, context.store(caller))


@router.get("/{preview_id}", responses={**documented(404), 202: {"model": PreviewView, "description": "It is pending."}})
async def get_preview(
    context: Context,
    caller: SubmitAccess,
    preview_id: Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="Id of the preview.")],
    response: Response,
    wait: Annotated[float, Query(ge=0, le=LONGEST_WAIT, description="Seconds to wait for its end.")] = 0,
) -> PreviewView:
    """A preview: its images once they are made, or why there are none."""
    deadline = time.monotonic() + wait
    with reached():
        while True:
            record = await context.previews.find(caller.tenant, preview_id)
            if record is None or record["state"] != "pending" or time.monotonic() >= deadline:
                break
            await asyncio.sleep(POLL_SECONDS)
    if record is None:
        raise HTTPException(404, f"there is no preview {preview_id!r}; they are kept for some minutes")
    if record["state"] == "pending":
        response.status_code = 202
        response.headers["Retry-After"] = "1"
    return preview_view(preview_id, record)


def preview_view(preview_id: str, record: dict[str, Any]) -> PreviewView:
    if record["state"] != "failed":
        return PreviewView(id=preview_id, **record)
    status = record["status"]
    problem = PreviewFailure(title=TITLES[status], status=status, detail=record["error"])
    return PreviewView(id=preview_id, state="failed", problem=problem)


@contextmanager
def reached() -> Iterator[None]:
    """Raises 503 when the broker cannot be reached inside the block."""
    try:
        yield
    except (OperationalError, RedisError, OSError) as error:
        message = f"the queue cannot be reached ({type(error).__name__}); try again later"
        raise HTTPException(503, message, RETRY_AFTER) from None
