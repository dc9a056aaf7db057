"""Opening a source: which real images there are, and reading them. A bad image is a Problem, never a crash.

reader (folder, shards, hub) -> Entry -> examine -> Picture -> sort -> Index -> select -> Source
"""

from collections.abc import Callable

from pipelines.errors import SourceError
from pipelines.progress import SILENT, Stage
from pipelines.source.indexing import find_index
from pipelines.source.reader import Reader
from pipelines.source.readers.builtin import open_builtin
from pipelines.source.readers.folder import FolderReader
from pipelines.source.readers.hub import HubReader
from pipelines.source.readers.shards import ShardReader
from pipelines.source.readers.uploaded import open_uploaded
from pipelines.source.source import Source, source_of
from pipelines.spec import FolderSource, HubSource, ParquetSource, SourceSpec, UploadedSource, WebDatasetSource
from pipelines.store.object_store import Store


def open_source(spec: SourceSpec, store: Store | None = None, stage: Callable[[str, int], Stage] = SILENT.stage) -> Source:
    """Open any source. Its index is kept in the store, and the images of uploaded ones lie there.

    `stage` begins a stage of the progress, of so many files: indexing takes long. Raises SourceError with the remedy.
    """
    reader: Reader
    match spec:
        case FolderSource():
            reader = FolderReader(spec)
        case ParquetSource() | WebDatasetSource():
            reader = ShardReader(spec)
        case HubSource():
            reader = HubReader(spec)
        case UploadedSource():
            if store is None:
                raise SourceError("source.type: uploaded images lie in a service's store; submit the spec there")
            return open_uploaded(spec, store)
        case _:
            return open_builtin(spec)
    return source_of(find_index(spec, reader, store, stage), reader.get, reader.where, spec)
