"""An image folder: train/<class>/*.png and so on, or <class>/*.png."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from pipelines.records import Image, Item, Problem
from pipelines.source.annotations import is_table
from pipelines.source.checks import Entry, check_suffix
from pipelines.source.collect import collect
from pipelines.source.decode import BadImage, decode
from pipelines.source.location import Location, open_location, prefetch
from pipelines.source.names import clean
from pipelines.source.samples import LABELS, Sampler
from pipelines.source.source import Source, checked
from pipelines.source.splits import split_of_folder
from pipelines.spec import FolderSource


def usable(names: list[str | Problem]) -> Iterator[str | Problem]:
    """Names of images and of what names their classes, and a problem for every other file, which is not fetched."""
    for name in names:
        if isinstance(name, Problem):
            yield name
            continue
        try:
            if not is_table(clean(name)) and PurePosixPath(name).suffix.lower() not in LABELS:
                check_suffix(clean(name))
            yield name
        except BadImage as error:
            yield Problem(name, str(error))


def files(place: Location, listed: list[str | Problem]) -> Iterator[Entry | Problem]:
    names = list(usable([name for name in listed if isinstance(name, Problem) or not name.endswith("/")]))
    yield from (name for name in names if isinstance(name, Problem))
    for name, data in prefetch(place, [name for name in names if isinstance(name, str)]):
        yield Problem(name, str(data)) if isinstance(data, BadImage) else Entry(name, data, place=name)


def open_folder(spec: FolderSource) -> Source:
    """Index an image folder. Raises SourceError when it is missing, has no two classes, or too many bad images."""
    place, where = open_location(spec.path, "<class>/ or train/<class>/ folders"), f"source.path: {spec.path}"
    listed = place.files()
    names: dict[str, str] = {}  # by SHA-256: an item's id is not to the letter the name of its file

    def keep(sha256: str, entry: Entry) -> None:
        names[sha256] = entry.place

    def read(item: Item) -> Image:
        return decode(place.get(names[item.sha256]), allow_synthetic=True)

    entries = Sampler(where).samples(files(place, listed))
    contents = collect(entries, keep, allow_synthetic=spec.allow_synthetic, where=where)
    by_folder = any(
        split_of_folder(part) for items in contents.splits.values() for i in items for part in i.id.split("/")[:-2]
    )
    source = checked(contents, read, where, spec)
    source.notes.extend(notes(spec.path, by_folder, listed, source.classes))
    return source


def notes(path: str, by_folder: bool, listed: list[str | Problem], classes: tuple[str, ...]) -> Iterator[str]:
    last = PurePosixPath(path).name
    if split_of_folder(last) and not by_folder:
        again = f"Its path ends in {last!r}, and these images are split again, by content"
        yield f"{again}; name the folder above to keep its splits."
    empty = {PurePosixPath(clean(name)).name for name in listed if isinstance(name, str) and name.endswith("/")}
    for name in sorted(empty - set(classes)):
        if split_of_folder(name) is None:
            yield f"Class {name!r} has no images, and is left out."
