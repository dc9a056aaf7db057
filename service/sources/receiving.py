"""Receiving an archive: streamed into the object store as it comes, a few parts of it in memory at a time."""

import uuid
from collections.abc import AsyncIterator

import obstore
from fastapi import HTTPException, Request

from pipelines.store import keys
from pipelines.store.object_store import Store

PARTS = 2  # of the object store's 5 MiB that are on their way at a time


def refuse(max_bytes: int) -> HTTPException:
    return HTTPException(413, f"more than {max_bytes} bytes; send fewer or smaller images")


class Body:
    """The body of a request, in pieces: their bytes are counted, and no more than `max_bytes` given on. Raises 413."""

    def __init__(self, request: Request, max_bytes: int) -> None:
        self.request, self.max_bytes, self.size = request, max_bytes, 0
        declared = request.headers.get("Content-Length", "")
        if declared.isdecimal() and int(declared) > max_bytes:
            raise refuse(max_bytes)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self.request.stream():
            self.size += len(chunk)
            if self.size > self.max_bytes:
                raise refuse(self.max_bytes)
            if chunk:
                yield chunk


async def receive(request: Request, store: Store, max_bytes: int) -> tuple[str, int]:
    """Put the body of a request into the store; return its key and bytes. One that breaks off leaves nothing there."""
    key, body = keys.archive(uuid.uuid4().hex), Body(request, max_bytes)
    await obstore.put_async(store.objects, key, aiter(body), max_concurrency=PARTS)
    return key, body.size
