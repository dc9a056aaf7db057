"""A real image that a sample was made from or is to be looked at with, as far as it can be read from where the API runs: an
uploaded one, one of a place that the operator allows, or one of the built-in world."""

import hashlib
import io
from functools import lru_cache

import PIL.Image

from pipelines.errors import CounterpoiseError
from pipelines.records import Item
from pipelines.source.decode import BadImage
from pipelines.source.location import open_location
from pipelines.source.readers.builtin import open_builtin
from pipelines.source.single import read_one
from pipelines.source.source import Source
from pipelines.spec import FewShotSource, FolderSource, LongTailSource, SourceSpec, SpuriousSource, UploadedSource
from pipelines.store import keys
from pipelines.store.object_store import Store
from service.limits import check_source
from service.settings import Settings

BuiltinSpec = SpuriousSource | FewShotSource | LongTailSource
SOURCES = 4  # built-in ones that are remembered


class Missing(Exception):
    """The image cannot be displayed; says why."""


def original(spec: SourceSpec, image_id: str, sha256: str, store: Store, settings: Settings) -> bytes:
    """The encoded image of an id and a content. Raises Missing."""
    if isinstance(spec, UploadedSource):
        if not store.exists(keys.blob(sha256)):
            raise Missing("it was erased since, or its source was deleted")
        return store.get(keys.blob(sha256))
    if isinstance(spec, BuiltinSpec):
        source, items = builtin(spec)
        item = items.get(image_id)
        if item is None or item.sha256 != sha256:
            raise Missing("this release renders the built-in world otherwise")
        return encoded(source, item)
    try:
        check_source(spec, settings)
        if isinstance(spec, FolderSource):
            data = open_location(spec.path, "images").get(image_id)
        else:
            data = read_one(spec, image_id, store)
    except (CounterpoiseError, BadImage) as error:
        raise Missing(str(error)) from None
    except ImportError as error:
        raise Missing(f"the API runs without the package {error.name}") from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise Missing("another image is in its place now")
    return data


@lru_cache(SOURCES)
def builtin(spec: BuiltinSpec) -> tuple[Source, dict[str, Item]]:
    source = open_builtin(spec)
    return source, {item.id: item for items in source.splits.values() for item in items}


def encoded(source: Source, item: Item) -> bytes:
    data = io.BytesIO()
    PIL.Image.fromarray(source.read(item)).save(data, "PNG")
    return data.getvalue()
