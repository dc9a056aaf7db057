"""Parquet files and WebDataset tars. Images of a tar are read from where they lie, those of Parquet from a copy on disk."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import IO

from pipelines.errors import SourceError
from pipelines.progress import Stage
from pipelines.records import Problem
from pipelines.source.archives import damage
from pipelines.source.checks import Contents, Entries, Place
from pipelines.source.index import Index
from pipelines.source.location import Location, open_location
from pipelines.source.patterns import absent, matches
from pipelines.source.splits import splits_of
from pipelines.source.spool import Spool
from pipelines.source.tables import Columns, entries_of_parquet
from pipelines.source.tars import entries_of_tar
from pipelines.spec import ParquetSource, WebDatasetSource
from pipelines.spec.base import quantity
from pipelines.spec.sources import remote


def shards(path: str, suffix: str) -> tuple[Location, list[str]]:
    """Location and names of the files that a folder or a pattern matches. Raises SourceError if there are none.

    What has the signs of a pattern in its name may be a folder all the same.
    """
    home, _, last = path.rstrip("/").rpartition("/")
    pattern = last.lower().endswith(suffix) or any(sign in last for sign in "*?[{")
    names: list[str] = []
    if pattern and (remote(path) or not Path(path).is_dir()):
        place = open_location(home or "/", f"*{suffix} files")
        names = [name for name in named(place, suffix, deep=False) if name == last or matches(last, name)]
    if not names and (remote(path) or not pattern or Path(path).is_dir()):
        place = open_location(path, f"*{suffix} files")
        names = named(place, suffix, deep=True)
    if not names:
        raise SourceError(f"source.path: {path} names no *{suffix} file; give a folder of them, or a pattern in one")
    return place, names


def named(place: Location, suffix: str, deep: bool) -> list[str]:
    """Names that end in the suffix; of those that cannot be read too, which opening them says."""
    names = [name if isinstance(name, str) else name.id for name in place.files(deep)]
    return [name for name in names if name.lower().endswith(suffix)]


class ShardReader:
    """Raises SourceError when there are no such files; when they are read, when one is damaged."""

    def __init__(self, spec: ParquetSource | WebDatasetSource) -> None:
        self.spec, self.where = spec, f"source.path: {spec.path}"
        self.location, self.names = shards(spec.path, ".parquet" if isinstance(spec, ParquetSource) else ".tar")
        self.split_of = splits_of(self.names)

    @cached_property
    def files(self) -> Mapping[str, str]:
        return self.location.tags(self.names)

    @property
    def total(self) -> int:
        return len(self.names)

    def entries(self, earlier: Index | None, done: Stage) -> Entries:
        for name in self.names:
            with self.location.open(name) as file, damage(f"source.path: {name}"):
                for entry in self.members(file, name):
                    if isinstance(entry, Problem):
                        yield Problem(f"{name}/{entry.id}", entry.reason)
                    else:
                        place = replace(entry.place, file=name)
                        yield replace(entry, shard=name, split=entry.split or self.split_of[name], place=place)
            done(1)

    def members(self, file: IO[bytes], name: str) -> Entries:
        where, spec = f"source.path: {name}", self.spec
        if isinstance(spec, WebDatasetSource):
            return entries_of_tar(file, "r:", where=where)
        return entries_of_parquet(file, Columns(spec.image, spec.label, spec.group, spec.split), where)

    def notes(self, contents: Contents) -> Iterator[str]:
        last = self.spec.path.rstrip("/").rpartition("/")[2]
        if last not in self.names and (missing := absent(last, self.names)):
            yield f"Of {last}, {quantity(len(missing), 'file')} are not there: {', '.join(missing[:3])}."
        loose = [name for name in self.names if self.split_of[name] is None]
        if 0 < len(loose) < len(self.names):
            count = quantity(len(loose), "file")
            yield f"No split is in the name of {loose[0]}, of {count} in all: their images are divided."

    @cached_property
    def spool(self) -> Spool:
        assert isinstance(self.spec, ParquetSource)
        return Spool(self.location, self.spec.image)

    def get(self, place: Place) -> bytes:
        if isinstance(self.spec, ParquetSource):
            return self.spool.get(place)
        with self.location.open(place.file) as file:
            file.seek(place.start)
            return file.read(place.size)
