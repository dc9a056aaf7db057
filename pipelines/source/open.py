"""Opening a source: which real images there are, and reading them. A bad image is a Problem, never a crash.

readers (folder, archives, hub) -> Entry -> collect -> checked -> Source
"""

from pipelines.errors import SourceError
from pipelines.source.readers.builtin import open_builtin
from pipelines.source.readers.folder import open_folder
from pipelines.source.readers.hub import open_hub
from pipelines.source.readers.shards import open_shards
from pipelines.source.readers.uploaded import open_uploaded
from pipelines.source.source import Source
from pipelines.spec import FolderSource, HubSource, ParquetSource, SourceSpec, UploadedSource, WebDatasetSource
from pipelines.store.object_store import Store


def open_source(spec: SourceSpec, store: Store | None = None) -> Source:
    """Open any source; uploaded ones lie in a store. Raises SourceError with the remedy."""
    match spec:
        case FolderSource():
            return open_folder(spec)
        case ParquetSource() | WebDatasetSource():
            return open_shards(spec)
        case HubSource():
            return open_hub(spec)
        case UploadedSource():
            if store is None:
                raise SourceError("source.type: uploaded images lie in a service's store; submit the spec there")
            return open_uploaded(spec, store)
        case _:
            return open_builtin(spec)
