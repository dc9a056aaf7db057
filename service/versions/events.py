"""GET .../events: the events of a version as Server-Sent Events, resumed after any of them."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header
from sse_starlette import EventSourceResponse, ServerSentEvent

from service.api.dependencies import AppContext, Context, ReadAccess, counted_stream
from service.api.parameters import DatasetName, VersionNumber
from service.api.problems import documented
from service.api.routes import Route
from service.state import events, versions
from service.state.lifecycle import ENDED
from service.state.silence import silent_units
from service.versions.lookups import find_version

router = APIRouter(route_class=Route, prefix="/v1", tags=["versions"], responses=documented(401, 403, 404, 422))
POLL_SECONDS = 0.5  # between looks at the database
SILENCE_POLL_SECONDS = 3.0  # between looks for workers that have fallen silent

EVENT_SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "description": "Goes up; of a message that is not stored, that of the event before."},
        "event": {"type": "string", "enum": ["state", "progress", "unit"]},
        "data": {"type": "string", "description": "JSON: `at`, and what happened."},
    },
}


async def event_stream(context: AppContext, version_id: int, last_event_id: int) -> AsyncIterator[ServerSentEvent]:
    """Events as they come, until the version has ended and all of them are sent.

    Of a worker that has fallen silent there is a message, once, of the id of the event before it: it is not stored.
    """
    poll, lease_seconds = context.pools.streams.run, context.settings.lease_seconds
    reported: set[tuple[str, int, int]] = set()  # leases of silent workers
    looked = time.monotonic()
    while True:
        version = await poll(versions.get, context.database, version_id)
        rows = await poll(events.list_after, context.database, version_id, last_event_id)
        for row in rows:
            last_event_id = row.id
            yield ServerSentEvent(json.dumps({"at": row.at, **row.data}), id=str(row.id), event=row.kind)
        if not rows:
            if version is None or version.state in ENDED:
                return
            if time.monotonic() - looked >= SILENCE_POLL_SECONDS:
                looked = time.monotonic()
                for unit in await poll(silent_units, context.database, version_id, lease_seconds):
                    if (lease := (unit.stage, unit.number, unit.fence)) not in reported:
                        reported.add(lease)
                        message = json.dumps({"at": time.time(), "message": str(unit)})
                        yield ServerSentEvent(message, id=str(last_event_id), event="progress")
            await asyncio.sleep(POLL_SECONDS)


@router.get(
    "/datasets/{name}/versions/{number}/events",
    response_class=EventSourceResponse,
    dependencies=[Depends(counted_stream)],
    responses={200: {"content": {"text/event-stream": {"schema": EVENT_SCHEMA}}, "description": "The events."}},
)
def stream_events(
    context: Context,
    caller: ReadAccess,
    name: DatasetName,
    number: VersionNumber,
    last_event_id: Annotated[int, Header(ge=0, le=2**62, description="Go on after this event.")] = 0,
) -> EventSourceResponse:
    """Follow a version. Ends with the version; a client that lost the connection sends Last-Event-ID."""
    version = find_version(context, caller, name, number)
    return EventSourceResponse(event_stream(context, version.id, last_event_id))
