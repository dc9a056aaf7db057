"""An image folder: train/<class>/*.png and so on, or <class>/*.png."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from pipelines.records import Image, Item, Problem
from pipelines.source.decode import BadImage, decode
from pipelines.source.intake import METADATA, Sent, check_suffix, collect, hidden
from pipelines.source.opened import Source, checked
from pipelines.source.places import Place, ahead, open_place
from pipelines.source.splits import SPLITS
from pipelines.spec import FolderSource


def usable(names: list[str]) -> Iterator[str | Problem]:
    """Names of images, and what is none by its name: it is not even fetched."""
    for name in names:
        if hidden(name):
            continue
        try:
            if PurePosixPath(name).name != METADATA:
                check_suffix(name)
            yield name
        except BadImage as error:
            yield Problem(name, str(error))


def files(place: Place) -> Iterator[Sent | Problem]:
    parts = [f"{split}/" for split in SPLITS] if place.glob("train/*/*") else [""]
    found = list(usable([name for part in parts for at in (METADATA, "*/*") for name in place.glob(part + at)]))
    yield from (each for each in found if isinstance(each, Problem))
    for name, got in ahead(place, [each for each in found if isinstance(each, str)]):
        yield Problem(name, str(got)) if isinstance(got, BadImage) else Sent(name, got)


def open_folder(spec: FolderSource) -> Source:
    """Index an image folder. Raises SourceError when it is missing, has no two classes, or too many bad images."""
    place, where = open_place(spec.path, "<class>/ or train/<class>/ folders"), f"source.path: {spec.path}"
    found = collect(files(place), lambda item, sent: None, allow_synthetic=spec.allow_synthetic, where=where)

    def read(item: Item) -> Image:
        return decode(place.get(item.id), allow_synthetic=True)

    return checked(found, read, where, spec.max_problems)
