"""Real images beside samples: read in bounded time; in place of one that cannot be displayed, a picture of the reason."""

import asyncio
import html
import textwrap
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query, Response

from pipelines.source.decode import media_type
from pipelines.spec import SourceSpec, parse
from service.api.dependencies import AppContextWithStore, ReadAccess, StoreContext
from service.api.parameters import DatasetName, VersionNumber
from service.console.pages import PageRoute
from service.samples.endpoints import FOREVER
from service.samples.originals import Missing, original
from service.state.api_keys import Caller
from service.versions.lookups import find_version

router = APIRouter(route_class=PageRoute)
SECONDS = 10.0  # that a page's image waits for a source that does not answer
SIDE, LINE, LINES = 320, 34, 8  # of the picture of a reason: pixels, letters, lines


@router.get("/datasets/{name}/versions/{number}/real/{sha256}")
async def get_real(
    context: StoreContext,
    caller: ReadAccess,
    name: DatasetName,
    number: VersionNumber,
    sha256: Annotated[str, Path(pattern="^[0-9a-f]{64}$")],
    id: Annotated[str, Query(max_length=2000)],
) -> Response:
    """A real image of a version's source, by its id and content."""
    version = await context.pools.database.run(find_version, context, caller, name, number)
    try:
        data = await read(context, caller, parse(version.spec).source, id, sha256)
    except Missing as error:
        return reason(str(error))
    return Response(data, media_type=media_type(data), headers=FOREVER)


async def read(context: AppContextWithStore, caller: Caller, spec: SourceSpec, image_id: str, sha256: str) -> bytes:
    """The bytes of the image. Raises Missing, also while others are read, or when it takes too long: then it is left to
    itself."""

    def call() -> bytes:
        return original(spec, image_id, sha256, context.store(caller), context.settings)

    task = asyncio.ensure_future(context.pools.sources.run(call))
    await asyncio.wait({task}, timeout=SECONDS)
    if not task.done():
        task.add_done_callback(lambda ended: ended.exception())  # else it is reported as never looked at
        raise Missing("its source does not answer")
    try:
        return task.result()
    except HTTPException as error:
        raise Missing(error.detail) from None


def reason(text: str) -> Response:
    """A picture that says why there is none; it is asked for again with the next page."""
    lines = textwrap.wrap(f"Not displayed: {text}", LINE, max_lines=LINES, placeholder=" ...")
    first = SIDE // 2 - 11 * (len(lines) - 1)
    rows = "".join(
        f'<text x="{SIDE // 2}" y="{first + 22 * number}">{html.escape(line)}</text>' for number, line in enumerate(lines)
    )
    picture = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{SIDE}" height="{SIDE}" viewBox="0 0 {SIDE} {SIDE}" '
        f'font-family="system-ui, sans-serif" font-size="16" fill="#7a8794" text-anchor="middle">{rows}</svg>'
    )
    return Response(picture, media_type="image/svg+xml", headers={"Cache-Control": "no-store"})
