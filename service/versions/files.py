"""GET .../files: the files of a published version, with links to download them."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import obstore
from fastapi import APIRouter, HTTPException
from fastapi.responses import StreamingResponse
from obstore.store import S3Store

from pipelines.store import keys
from pipelines.store.object_store import Store
from service.api.dependencies import AppContextWithStore, ReadAccess, StoreContext
from service.api.parameters import DatasetName, VersionNumber
from service.api.problems import documented
from service.api.routes import Route
from service.state.api_keys import Caller
from service.versions.lookups import find_version
from service.versions.schemas import VersionFile
from service.versions.views import version_url

router = APIRouter(route_class=Route, prefix="/v1", tags=["versions"], responses=documented(401, 403, 404, 422))
LINK_LIFETIME = timedelta(hours=1)  # of a signed link
# Written after the manifest, so not in it.
AFTER_PUBLICATION = (
    "evaluation.json",
    "diff.json",
    "report/summary.json",
    "report/quality_report.json",
    "report/report.html",
    "report/card.md",
    "report/map.parquet",
    "report/samples.png",
)


def manifest_files(store: Store, root: str) -> list[dict[str, Any]]:
    """Every file of a published version, with its `key` in the object store; none before it is published."""
    if not store.exists(keys.manifest(root)):
        return []
    data = store.get(keys.manifest(root))
    manifest = {"path": "manifest.json", "size": len(data), "sha256": None}
    later = [
        {"path": name, "size": obstore.head(store.objects, f"{root}/{name}")["size"], "sha256": None}
        for name in AFTER_PUBLICATION
        if store.exists(f"{root}/{name}")
    ]
    files = (*store.json(keys.manifest(root))["files"], manifest, *later)
    return [{"key": f"{root}/{file['path']}", **file} for file in files]


def open_version(context: AppContextWithStore, caller: Caller, name: str, number: int) -> tuple[Store, str, str]:
    """A version's store, its root in the store, and its URL. Raises 404."""
    version = find_version(context, caller, name, number)
    return context.store(caller), keys.version(name, number), version_url(version)


@router.get("/datasets/{name}/versions/{number}/files")
def list_files(context: StoreContext, caller: ReadAccess, name: DatasetName, number: VersionNumber) -> list[VersionFile]:
    """What a version holds; nothing until it is published."""
    store, root, version = open_version(context, caller, name, number)
    files = []
    for file in manifest_files(store, root):
        url = f"{version}/files/{file['path']}"
        if isinstance(store.objects, S3Store):
            url = obstore.sign(store.objects, "GET", file["key"], LINK_LIFETIME)
        files.append(VersionFile(**file, url=url))
    return files


@router.get(
    "/datasets/{name}/versions/{number}/files/{path:path}",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/octet-stream": {}}, "description": "The file."}},
)
def get_file(
    context: StoreContext, caller: ReadAccess, name: DatasetName, number: VersionNumber, path: str
) -> StreamingResponse:
    """One file of a published version."""
    store, root, _ = open_version(context, caller, name, number)
    key_by_path = {file["path"]: file["key"] for file in manifest_files(store, root)}
    if path not in key_by_path:
        raise HTTPException(404, f"version {number} of {name!r} has no file {path!r}; see its list of files")
    media_type = "text/html" if path.endswith(".html") else "application/octet-stream"
    return StreamingResponse(chunks(context.patient_store(caller), key_by_path[path]), media_type=media_type)


async def chunks(store: Store, key: str) -> AsyncIterator[bytes]:
    """An object's bytes."""
    async for chunk in (await obstore.get_async(store.objects, key)).stream():
        yield bytes(chunk)
