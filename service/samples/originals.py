"""The real image that a sample was made from, as far as it can be read from where the API runs: an uploaded one, one of a
folder or a bucket that the operator allows, or one of the built-in world."""

import hashlib
import io
from functools import lru_cache

import PIL.Image

from pipelines.errors import SourceError, SpecError
from pipelines.records import Item
from pipelines.source.decode import BadImage
from pipelines.source.location import open_location
from pipelines.source.readers.builtin import open_builtin
from pipelines.source.source import Source
from pipelines.spec import FewShotSource, FolderSource, LongTailSource, SourceSpec, SpuriousSource, UploadedSource
from pipelines.store import keys
from pipelines.store.object_store import Store
from service.limits import check_source
from service.settings import Settings

BuiltinSpec = SpuriousSource | FewShotSource | LongTailSource
SOURCES = 4  # built-in ones that are remembered


@lru_cache(SOURCES)
def builtin(spec: BuiltinSpec) -> tuple[Source, dict[str, Item]]:
    source = open_builtin(spec)
    return source, {item.id: item for items in source.splits.values() for item in items}


def original(spec: SourceSpec, image_id: str, sha256: str, store: Store, settings: Settings) -> bytes | None:
    """The encoded image of an id and a content; None where it is not there any more, or cannot be read from here."""
    if isinstance(spec, UploadedSource):
        return store.get(keys.blob(sha256)) if store.exists(keys.blob(sha256)) else None
    if isinstance(spec, BuiltinSpec):
        source, items = builtin(spec)
        item = items.get(image_id)
        return None if item is None or item.sha256 != sha256 else encoded(source, item)
    return of_folder(spec, image_id, sha256, settings) if isinstance(spec, FolderSource) else None


def encoded(source: Source, item: Item) -> bytes:
    data = io.BytesIO()
    PIL.Image.fromarray(source.read(item)).save(data, "PNG")
    return data.getvalue()


def of_folder(spec: FolderSource, name: str, sha256: str, settings: Settings) -> bytes | None:
    """A file of a folder that may be read, if it still is what it was."""
    try:
        check_source(spec, settings)
        data = open_location(spec.path, "images").get(name)
    except (SpecError, SourceError, BadImage):
        return None
    return data if hashlib.sha256(data).hexdigest() == sha256 else None
