"""GET .../events: what happens to a version, as Server-Sent Events, from any event on."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header
from fastapi.concurrency import run_in_threadpool
from sse_starlette import EventSourceResponse, ServerSentEvent

from service.api.dependencies import Here, Reader
from service.api.problems import documented
from service.state import versions
from service.state.database import Database
from service.state.lifecycle import ENDED
from service.versions.endpoints import Dataset, Number, found

router = APIRouter(prefix="/v1", tags=["versions"], responses=documented(401, 403, 404, 422))
PAUSE = 0.5  # seconds between looks at the database

SHAPE = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "description": "Goes up."},
        "event": {"type": "string", "enum": ["state", "progress", "unit"]},
        "data": {"type": "string", "description": "JSON: `at`, and what happened."},
    },
}


async def told(database: Database, version_id: int, after: int) -> AsyncIterator[ServerSentEvent]:
    """Events as they come, until the version has ended and all was told."""
    while True:
        version = await run_in_threadpool(versions.get, database, version_id)
        new = await run_in_threadpool(versions.events, database, version_id, after)
        for event in new:
            after = event.id
            yield ServerSentEvent(json.dumps({"at": event.at, **event.data}), id=str(event.id), event=event.kind)
        if not new:
            if version is None or version.state in ENDED:
                return
            await asyncio.sleep(PAUSE)


@router.get(
    "/datasets/{name}/versions/{number}/events",
    response_class=EventSourceResponse,
    responses={200: {"content": {"text/event-stream": {"schema": SHAPE}}, "description": "The events."}},
)
def events(
    here: Here,
    who: Reader,
    name: Dataset,
    number: Number,
    last_event_id: Annotated[int, Header(ge=0, le=2**62, description="Go on after this event.")] = 0,
) -> EventSourceResponse:
    """Follow a version. Ends with the version; a client that lost the connection sends Last-Event-ID."""
    version = found(here, who, name, number)
    return EventSourceResponse(told(here.database, version.id, last_event_id))
