"""An image folder: train/<class>/*.png and so on, or <class>/*.png."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from pipelines.records import Image, Item, Problem
from pipelines.source.checks import METADATA, Entry, check_suffix, collect, hidden
from pipelines.source.decode import BadImage, decode
from pipelines.source.location import Location, open_location, prefetch
from pipelines.source.source import Source, checked
from pipelines.source.splits import SPLITS, split_in
from pipelines.spec import FolderSource


def usable(names: list[str]) -> Iterator[str | Problem]:
    """Names of images and metadata, and a problem for every other file, which is not fetched."""
    for name in names:
        if hidden(name):
            continue
        try:
            if PurePosixPath(name).name != METADATA:
                check_suffix(name)
            yield name
        except BadImage as error:
            yield Problem(name, str(error))


def files(place: Location) -> Iterator[Entry | Problem]:
    parts = [f"{split}/" for split in SPLITS] if place.glob("train/*/*") else [""]
    names = list(usable([name for part in parts for at in (METADATA, "*/*") for name in place.glob(part + at)]))
    yield from (name for name in names if isinstance(name, Problem))
    for name, data in prefetch(place, [name for name in names if isinstance(name, str)]):
        yield Problem(name, str(data)) if isinstance(data, BadImage) else Entry(name, data)


def open_folder(spec: FolderSource) -> Source:
    """Index an image folder. Raises SourceError when it is missing, has no two classes, or too many bad images."""
    place, where = open_location(spec.path, "<class>/ or train/<class>/ folders"), f"source.path: {spec.path}"
    contents = collect(files(place), lambda item, entry: None, allow_synthetic=spec.allow_synthetic, where=where)

    def read(item: Item) -> Image:
        return decode(place.get(item.id), allow_synthetic=True)

    source = checked(contents, read, where, spec)
    last = PurePosixPath(spec.path).name
    if split_in(last) and not place.glob("train/*/*"):
        again = f"Its path ends in {last!r}, and these images are split again, by content"
        source.notes.append(f"{again}; name the folder above to keep its splits.")
    empty = place.empty("train" if place.glob("train/*/*") else "")
    source.notes.extend(f"Class {name!r} has no images, and is left out." for name in empty if name not in SPLITS)
    return source
