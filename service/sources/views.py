"""How a source and an upload are displayed."""

from pipelines.source import upload as states
from pipelines.store.object_store import Store
from service.sources.schemas import SourceView, UploadView
from service.state.tables import Upload


def source_view(store: Store, name: str, digest: str) -> SourceView:
    return SourceView.model_validate(states.summary(store, name, digest))


def upload_view(store: Store, upload: Upload) -> UploadView:
    result = source_view(store, upload.source, upload.digest) if upload.digest else None
    facts = {"id": upload.id, "source": upload.source, "state": upload.state, "size": upload.size}
    return UploadView.model_validate({**facts, "error": upload.error, "digest": upload.digest, "result": result})


def upload_url(upload: Upload) -> str:
    return f"/v1/sources/{upload.source}/uploads/{upload.id}"
