"""An image folder: train/<class>/*.png and so on, or <class>/*.png."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import PurePosixPath

from pipelines.progress import Stage
from pipelines.records import Problem
from pipelines.source.annotations import is_table
from pipelines.source.checks import Contents, Entries, Entry, Facts, Place, check_suffix
from pipelines.source.decode import BadImage
from pipelines.source.index import Index
from pipelines.source.location import open_location, prefetch
from pipelines.source.names import clean
from pipelines.source.samples import LABELS, Sampler
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


class FolderReader:
    """Raises SourceError when there is no such folder."""

    def __init__(self, spec: FolderSource) -> None:
        self.path, self.where = spec.path, f"source.path: {spec.path}"
        self.location = open_location(spec.path, "<class>/ or train/<class>/ folders")

    @cached_property
    def listing(self) -> list[str | Problem]:
        """Names of files and, with a "/" at their end, of empty folders; a problem for what cannot be read."""
        return self.location.files()

    @cached_property
    def files(self) -> Mapping[str, str]:
        tags = self.location.tags([name for name in self.listing if isinstance(name, str)])
        return tags | {one.id: one.reason for one in self.listing if isinstance(one, Problem)}

    @property
    def total(self) -> int:
        return len(self.listing)

    def entries(self, earlier: Index | None, done: Stage) -> Entries:
        known = {} if earlier is None else earlier.unchanged(self.files)
        return Sampler(self.where).samples(self.read(known, done))

    def read(self, known: Mapping[str, Facts], done: Stage) -> Entries:
        listed = list(usable([one for one in self.listing if isinstance(one, Problem) or not one.endswith("/")]))
        problems = [one for one in listed if isinstance(one, Problem)]
        names = [name for name in listed if isinstance(name, str)]
        yield from problems
        done(self.total - len(names))
        fetched = prefetch(self.location, [name for name in names if name not in known])
        for name in names:
            done(1)
            if name in known:
                yield Entry(name, b"", place=Place(name), known=known[name])
                continue
            _, data = next(fetched)
            yield Problem(name, str(data)) if isinstance(data, BadImage) else Entry(name, data, place=Place(name))

    def notes(self, contents: Contents) -> Iterator[str]:
        folders = [part for items in contents.splits.values() for item in items for part in item.id.split("/")[:-2]]
        last = PurePosixPath(self.path).name
        if split_of_folder(last) and not any(map(split_of_folder, set(folders))):
            again = f"Its path ends in {last!r}, and these images are split again, by content"
            yield f"{again}; name the folder above to keep its splits."
        empty = {PurePosixPath(clean(name)).name for name in self.listing if isinstance(name, str) and name.endswith("/")}
        for name in sorted(empty - {item.label for item in contents.splits["train"]}):
            if split_of_folder(name) is None:
                yield f"Class {name!r} has no images, and is left out."

    def get(self, place: Place) -> bytes:
        return self.location.get(place.file)
