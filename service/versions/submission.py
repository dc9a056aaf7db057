"""Submission of a spec: it is checked against what the operator allows, and its uploaded source pinned to one state."""

from contextlib import AbstractContextManager
from typing import Any

from pipelines.backbones.capabilities import check_models
from pipelines.backbones.checkpoints import Checkpoints
from pipelines.backbones.locate import only_here
from pipelines.errors import SpecError
from pipelines.source.upload import newest
from pipelines.spec import UploadedSource, VersionSpec
from pipelines.store import keys
from pipelines.store.object_store import Store
from service.limits import check
from service.settings import Settings
from service.state import uploads
from service.state.database import Database


def require_read(spec: VersionSpec, database: Database, tenant: str) -> None:
    """Raises SpecError while an upload to the spec's source is still to be read, unless the spec names a state of it."""
    source = spec.source
    if isinstance(source, UploadedSource) and source.digest is None:
        upload = uploads.unread(database, tenant, source.name)
        if upload is not None:
            raise SpecError(f"source.name: {source.name!r} is being read; try again when upload {upload.id} is done")


def pin(spec: VersionSpec, store: Store) -> VersionSpec:
    """The spec with the digest of the newest state of its uploaded source. Raises SpecError when nothing was uploaded."""
    source = spec.source
    if not isinstance(source, UploadedSource):
        return spec
    digest = source.digest or newest(store, source.name)
    if digest is None or not store.exists(keys.index(source.name, digest)):
        raise SpecError(f"source.name: no such upload of {source.name!r}; send it to /v1/sources/{source.name} first")
    return spec.model_copy(update={"source": source.model_copy(update={"digest": digest})})


def unpin(spec: VersionSpec) -> VersionSpec:
    """The spec without the digest of its uploaded source: a refresh always takes the newest state."""
    if not isinstance(spec.source, UploadedSource):
        return spec
    return spec.model_copy(update={"source": spec.source.model_copy(update={"digest": None})})


def mounted(settings: Settings) -> AbstractContextManager[None]:
    """Inside the block, checkpoints are read as far as they lie on this machine: nothing is downloaded, and model roots that
    are not mounted here are left to the workers."""
    return only_here(elsewhere=[root for root in settings.model_roots if not root.is_dir()])


def read_here(spec: VersionSpec, settings: Settings) -> Checkpoints:
    """The spec's checkpoints, as far as they lie here. Raises SpecError or ModelError for what cannot be used."""
    check(spec, settings)
    with mounted(settings):
        return check_models(spec)


def admit(spec: VersionSpec, settings: Settings, store: Store) -> dict[str, Any]:
    """The spec as JSON, allowed, with usable checkpoints, and pinned. Raises SpecError or ModelError."""
    read_here(spec, settings)
    return pin(spec, store).model_dump(mode="json")
