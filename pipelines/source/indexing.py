"""The index of a source is built once, and stored for every process that opens the source in the same state.

A state is what the tags of all files say, without opening any: sizes and times of change in a folder, ETags in a bucket.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from hashlib import sha256

from pipelines.errors import StoreError
from pipelines.progress import Stage
from pipelines.source.collect import collect
from pipelines.source.decode import formats
from pipelines.source.examine import examine_all
from pipelines.source.index import Index
from pipelines.source.reader import Reader
from pipelines.spec import FolderSource, HubSource, ParquetSource, WebDatasetSource
from pipelines.spec.sources import RealSource
from pipelines.store import keys
from pipelines.store.artifacts import use
from pipelines.store.canonical import digest
from pipelines.store.object_store import Store

RULES = 1  # by which images are checked and sorted: another number where they give another index

FileSource = FolderSource | ParquetSource | WebDatasetSource | HubSource


def find_index(spec: FileSource, reader: Reader, store: Store | None, stage: Callable[[str, int], Stage]) -> Index:
    """The stored index of a source, or else a new one, which is stored; of several writers the first wins."""
    if store is None:
        return build_index(spec, reader, None, stage)
    source, state = source_digest(spec), state_digest(reader.files)
    key = keys.source_index(source, state)
    with suppress(StoreError):  # there is none
        return Index.decode(use(store, key))
    index = build_index(spec, reader, newest_index(store, source), stage)
    data = index.encode()
    stored = store.put_first(key, data)
    return index if stored == data else Index.decode(stored)


def build_index(spec: FileSource, reader: Reader, earlier: Index | None, stage: Callable[[str, int], Stage]) -> Index:
    """Raises SourceError for what cannot be read at all."""
    done = stage("index: files", reader.total)
    examine = partial(examine_all, allow_synthetic=spec.allow_synthetic)
    contents = collect(reader.entries(earlier, done), examine, reader.where)
    return Index.of(contents, reader.files, list(reader.notes(contents)))


def source_digest(spec: FileSource) -> str:
    """Of what determines an index, but for the files. Which of its images are used is decided afterwards."""
    fields = spec.model_dump(mode="json", exclude=set(RealSource.model_fields))
    return digest({"rules": RULES, "formats": formats(), **fields})


def state_digest(files: Mapping[str, str]) -> str:
    state = sha256()
    for name, tag in files.items():
        state.update(f"{name!r} {tag}\n".encode("utf-8", "backslashreplace"))
    return state.hexdigest()[:16]


def newest_index(store: Store, source: str) -> Index | None:
    """The index of the source that was written last, in whatever state."""
    key = newest_key(store, source)
    with suppress(StoreError):  # removed meanwhile
        return None if key is None else Index.decode(store.get(key))
    return None


def newest_key(store: Store, source: str) -> str | None:
    """Where it lies."""
    objects = [meta for batch in store.scan(keys.source_indexes(source)) for meta in batch]
    return str(max(objects, key=lambda meta: meta["last_modified"])["path"]) if objects else None
