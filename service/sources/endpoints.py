"""/v1/sources: a client's own images, uploaded as one archive."""

import tempfile
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query, Request
from fastapi.concurrency import run_in_threadpool

from pipelines.source import upload
from pipelines.source.archives import members
from pipelines.source.limits import Limits
from pipelines.spec import Name
from pipelines.store import keys
from service.api.dependencies import AppContext, ReadAccess, StoreContext, SubmitAccess
from service.api.problems import documented
from service.api.routes import Route
from service.caps import Caps
from service.sources.schemas import SourceView
from service.state.api_keys import Caller

router = APIRouter(route_class=Route, prefix="/v1/sources", tags=["sources"], responses=documented(401, 403, 422))
SourceName = Annotated[Name, Path(description="Name of the source.", examples=["birds"])]
IN_MEMORY = 8 * 2**20  # bytes of an upload above which it waits on disk
REFUSED_LISTED = 1000  # refused images that are listed
UNPACKED_RATIO = 4  # times the largest upload that an archive may unpack to
BODY = {"content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in
        ("application/x-tar", "application/zip", "application/vnd.apache.parquet")}, "required": True}  # fmt: skip


def source_view(index: dict[str, Any]) -> SourceView:
    return SourceView(**{**index, "refused": index["refused"][:REFUSED_LISTED]})


@router.put("/{name}", openapi_extra={"requestBody": BODY}, responses=documented(413))
async def put_source(
    context: StoreContext,
    caller: SubmitAccess,
    name: SourceName,
    request: Request,
    allow_synthetic: Annotated[bool, Query(description="Take generated images as real ones.")] = False,
) -> SourceView:
    """Send images as a tar, zip or Parquet file: `class/file` or `train/class/file`, or columns image and label.

    They replace the images of the source; versions that were created before keep theirs.
    """
    await run_in_threadpool(check_bytes, context, caller)
    max_bytes = context.settings.max_upload_bytes
    with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY) as file:
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > max_bytes:
                raise HTTPException(413, f"more than {max_bytes} bytes; send fewer or smaller images")
            await run_in_threadpool(file.write, chunk)
        file.seek(0)
        limits = Limits(UNPACKED_RATIO * max_bytes, context.settings.max_upload_images)
        store = context.patient_store(caller)
        index = await run_in_threadpool(upload.take_in, store, name, members(file), limits, allow_synthetic=allow_synthetic)
    return source_view(index)


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
    key = upload.newest(store, name)
    if key is None:
        raise HTTPException(404, f"there is no source {name!r}; send it by PUT")
    return source_view(upload.describe(store.json(keys.index(name, key)), key))
