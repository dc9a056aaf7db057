"""GET .../files: what a published version holds, with links to download it."""

from datetime import timedelta
from typing import Any

import obstore
from fastapi import APIRouter, HTTPException
from fastapi.responses import StreamingResponse
from obstore.store import S3Store
from pydantic import BaseModel, Field

from pipelines import paths
from pipelines.store import Store
from service.api.dependencies import Context, Here, Reader
from service.api.problems import documented
from service.state.api_keys import Caller
from service.versions.endpoints import Dataset, Number, found, link

router = APIRouter(prefix="/v1", tags=["versions"], responses=documented(401, 403, 404, 422))
VALID = timedelta(hours=1)  # a signed link
# Made once it is published.
AFTER = ("evaluation.json", "diff.json", "report/summary.json", "report/report.html", "report/samples.png")


class File(BaseModel):
    path: str = Field(examples=["data/train-00000-of-00003.parquet"])
    size: int = Field(description="Bytes.")
    sha256: str | None = Field(
        description="Null for what is made after the version is published: the evaluation, the report."
    )
    url: str = Field(description="Where to get it: here, or for an hour from the object store itself.")


def listed(store: Store, root: str) -> list[dict[str, Any]]:
    """Every file of a published version, with its `key`; none before that."""
    if not store.exists(paths.manifest(root)):
        return []
    data = store.get(paths.manifest(root))
    own = {"path": "manifest.json", "size": len(data), "sha256": None}
    later = [
        {"path": name, "size": obstore.head(store.objects, f"{root}/{name}")["size"], "sha256": None}
        for name in AFTER
        if store.exists(f"{root}/{name}")
    ]
    return [{"key": f"{root}/{each['path']}", **each} for each in (*store.json(paths.manifest(root))["files"], own, *later)]


def opened(here: Context, who: Caller, name: str, number: int) -> tuple[Store, str, str]:
    version = found(here, who, name, number)
    return here.store(who), paths.version(name, number), link(version)


@router.get("/datasets/{name}/versions/{number}/files")
def files(here: Here, who: Reader, name: Dataset, number: Number) -> list[File]:
    """What a version holds; nothing until it is published."""
    store, root, home = opened(here, who, name, number)
    made = []
    for each in listed(store, root):
        url = f"{home}/files/{each['path']}"
        if isinstance(store.objects, S3Store):
            url = obstore.sign(store.objects, "GET", each["key"], VALID)
        made.append(File(**each, url=url))
    return made


@router.get(
    "/datasets/{name}/versions/{number}/files/{path:path}",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/octet-stream": {}}, "description": "The file."}},
)
def file(here: Here, who: Reader, name: Dataset, number: Number, path: str) -> StreamingResponse:
    """One file of a published version."""
    store, root, _ = opened(here, who, name, number)
    keys = {each["path"]: each["key"] for each in listed(store, root)}
    if path not in keys:
        raise HTTPException(404, f"version {number} of {name!r} has no file {path!r}; see its list of files")
    kind = "text/html" if path.endswith(".html") else "application/octet-stream"
    return StreamingResponse(obstore.get(store.objects, keys[path]).stream(), media_type=kind)
