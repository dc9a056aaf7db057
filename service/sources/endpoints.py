"""/v1/sources: a client's own images, uploaded as one archive."""

import asyncio
import time
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from pipelines.source.upload import newest
from pipelines.spec import Name
from service.api.dependencies import AppContext, ReadAccess, StoreContext, SubmitAccess
from service.api.problems import documented
from service.api.routes import Route
from service.caps import Caps
from service.sources.receiving import receive
from service.sources.schemas import SourceView, UploadView
from service.sources.views import source_view, upload_url, upload_view
from service.state import uploads
from service.state.api_keys import Caller
from service.versions.creation import wake_worker

router = APIRouter(route_class=Route, prefix="/v1/sources", tags=["sources"], responses=documented(401, 403, 422))
SourceName = Annotated[Name, Path(description="Name of the source.", examples=["birds"])]
UploadId = Annotated[int, Path(ge=1, le=2**63 - 1, description="Id of the upload.")]
POLL_SECONDS = 0.5  # between looks at the database, of those who wait
LONGEST_WAIT = 60
BODY = {"content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in
        ("application/x-tar", "application/zip", "application/vnd.apache.parquet")}, "required": True}  # fmt: skip


@router.put("/{name}", status_code=202, openapi_extra={"requestBody": BODY}, responses=documented(400, 413))
async def put_source(
    context: StoreContext,
    caller: SubmitAccess,
    name: SourceName,
    request: Request,
    response: Response,
    allow_synthetic: Annotated[bool, Query(description="Take generated images as real ones.")] = False,
) -> UploadView:
    """Send images as a tar, zip or Parquet file: `class/file` or `train/class/file`, or columns image and label.

    A worker reads them: `Location` says how far it is. Once it is done they replace the images of the source; versions that
    were created before keep theirs.
    """
    await run_in_threadpool(check_bytes, context, caller)
    store = await run_in_threadpool(context.patient_store, caller)
    try:
        key, size = await receive(request, store, context.settings.max_upload_bytes)
    except ClientDisconnect:
        raise HTTPException(400, "the connection broke before all was sent; send it again") from None

    def enqueue() -> UploadView:
        try:
            upload = uploads.create(
                context.database, caller.tenant, name, key=key, size=size, allow_synthetic=allow_synthetic
            )
        except Exception:
            store.delete(key)
            raise
        wake_worker(context)
        response.headers["Location"] = upload_url(upload)
        return upload_view(store, upload)

    return await run_in_threadpool(enqueue)


@router.get("/{name}/uploads/{upload_id}", responses=documented(404))
async def get_upload(
    context: StoreContext,
    caller: ReadAccess,
    name: SourceName,
    upload_id: UploadId,
    wait: Annotated[float, Query(ge=0, le=LONGEST_WAIT, description="Seconds to wait for its end.")] = 0,
) -> UploadView:
    """How far an upload is: waiting, reading, done or failed; once done, what was understood and what was refused."""
    deadline = time.monotonic() + wait
    while True:
        upload = await context.pools.streams.run(uploads.find, context.database, caller.tenant, name, upload_id)
        if upload is None or upload.ended is not None or time.monotonic() >= deadline:
            break
        await asyncio.sleep(POLL_SECONDS)
    if upload is None:
        raise HTTPException(404, f"there is no upload {upload_id} to source {name!r}; send images by PUT /v1/sources/{name}")
    return await context.pools.store.run(lambda: upload_view(context.store(caller), upload))


def check_bytes(context: AppContext, caller: Caller) -> None:
    """Raises CapReached."""
    with context.database.read() as session:
        Caps.of(context.settings, caller.limits).check_bytes(session, caller.tenant)


@router.get("")
def list_sources(context: StoreContext, caller: ReadAccess) -> list[str]:
    """The names of all sources."""
    return context.store(caller).folders("sources")


@router.get("/{name}", responses=documented(404))
def get_source(context: StoreContext, caller: ReadAccess, name: SourceName) -> SourceView:
    """What the newest state of a source holds, and what was refused."""
    store = context.store(caller)
    digest = newest(store, name)
    if digest is None:
        raise HTTPException(404, f"there is no source {name!r}; send it by PUT")
    return source_view(store, name, digest)
