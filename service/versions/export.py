"""GET .../export: a published version as one tar, in a form that trainers read. It is made while it is sent."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query
from fastapi.responses import StreamingResponse

from pipelines.store import keys
from pipelines.version.export import FORMATS, FormatName
from pipelines.version.export.files import tar
from pipelines.version.export.samples import published
from service.api.dependencies import ReadAccess, StoreContext, counted_stream
from service.api.parameters import DatasetName, VersionNumber
from service.api.pools import Pool
from service.api.problems import documented
from service.api.routes import Route
from service.state import verdicts
from service.versions.lookups import find_version

router = APIRouter(route_class=Route, prefix="/v1", tags=["versions"], responses=documented(401, 403, 404, 409, 422))


@router.get(
    "/datasets/{name}/versions/{number}/export",
    response_class=StreamingResponse,
    dependencies=[Depends(counted_stream)],
    responses={200: {"content": {"application/x-tar": {}}, "description": "The tar."}},
)
def export_version(
    context: StoreContext,
    caller: ReadAccess,
    name: DatasetName,
    number: VersionNumber,
    format: Annotated[FormatName, Query(description="Of the files in the tar; webdataset: of the tar itself.")],
    as_published: Annotated[bool, Query(description="Obey no verdicts of people.")] = False,
) -> StreamingResponse:
    """The samples of a published version, in another format than Parquet: without what people dropped, and with what they
    kept though the filters had dropped it."""
    version, root = find_version(context, caller, name, number), keys.version(name, number)
    store, form = context.store(caller), FORMATS[format]
    if not store.exists(keys.manifest(root)):
        raise HTTPException(409, f"version {number} of {name!r} is {version.state}, and not published; wait for 'completed'")
    decided = [] if as_published else verdicts.of_version(context.database, version.id)
    samples = published(store, root, decided)
    if form.boxes:
        samples.require_boxes(format)
    headers = {"Content-Disposition": f'attachment; filename="{name}-v{number}-{format}.tar"'}
    stream = tar(form, replace(samples, store=context.patient_store(caller)))
    return StreamingResponse(pieces(context.pools.exports, stream), media_type="application/x-tar", headers=headers)


async def pieces(pool: Pool, stream: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The pieces of a stream, each made in a thread of the pool."""
    while (piece := await pool.run(next, stream, None)) is not None:
        if piece:
            yield piece
