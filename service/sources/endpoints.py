"""/v1/sources: a client's own images, sent as one archive."""

import tempfile
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query, Request
from fastapi.concurrency import run_in_threadpool

from pipelines import paths, upload
from pipelines.source.archives import members
from pipelines.spec import Name
from service.api.dependencies import Here, Reader, Submitter
from service.api.problems import documented
from service.versions.schemas import SourceView

router = APIRouter(prefix="/v1/sources", tags=["sources"], responses=documented(401, 403, 422))
SourceName = Annotated[Name, Path(description="Name of the source.", examples=["birds"])]
IN_MEMORY = 8 * 2**20  # bytes of an upload above which it waits on disk
SHOWN = 1000  # refused images that are listed
UNPACKED = 4  # times its own size that an upload may unpack to, at the largest
BODY = {"content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in
        ("application/x-tar", "application/zip", "application/vnd.apache.parquet")}, "required": True}  # fmt: skip


def view(found: dict[str, Any]) -> SourceView:
    return SourceView(**{**found, "refused": found["refused"][:SHOWN]})


@router.put("/{name}", openapi_extra={"requestBody": BODY}, responses=documented(413))
async def put(
    here: Here,
    who: Submitter,
    name: SourceName,
    request: Request,
    allow_synthetic: Annotated[bool, Query(description="Take generated images as real ones.")] = False,
) -> SourceView:
    """Send images as a tar, zip or Parquet file: `class/file` or `train/class/file`, or columns image and label.

    They replace what the source held; versions that were asked for before keep what they had.
    """
    most = here.settings.max_upload_bytes
    with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY) as file:
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > most:
                raise HTTPException(413, f"more than {most} bytes; send fewer or smaller images")
            await run_in_threadpool(file.write, chunk)
        file.seek(0)
        limits = upload.Limits(UNPACKED * most, here.settings.max_upload_images)
        store = here.store(who)
        found = await run_in_threadpool(upload.take_in, store, name, members(file), limits, allow_synthetic=allow_synthetic)
    return view(found)


@router.get("")
def listed(here: Here, who: Reader) -> list[str]:
    """The names of all sources."""
    return here.store(who).folders("sources")


@router.get("/{name}", responses=documented(404))
def one(here: Here, who: Reader, name: SourceName) -> SourceView:
    """What the newest state of a source holds, and what was refused."""
    store = here.store(who)
    key = upload.newest(store, name)
    if key is None:
        raise HTTPException(404, f"there is no source {name!r}; send it by PUT")
    return view(upload.described(store.json(paths.index(name, key)), key))
