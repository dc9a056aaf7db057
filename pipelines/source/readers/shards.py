"""Parquet files and WebDataset tars. Images of a tar are read from where they lie, those of Parquet from a copy on disk:
Parquet gives no single row without the thousands beside it."""

import tempfile
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from pipelines.errors import SourceError
from pipelines.records import Image, Item, Problem
from pipelines.source.archives import damage
from pipelines.source.checks import Entries, Entry
from pipelines.source.collect import collect
from pipelines.source.decode import decode
from pipelines.source.location import Location, open_location
from pipelines.source.patterns import absent, matches
from pipelines.source.source import Source, checked
from pipelines.source.splits import splits_of
from pipelines.source.tables import Columns, entries_of_parquet
from pipelines.source.tars import entries_of_tar
from pipelines.spec import ParquetSource, WebDatasetSource
from pipelines.spec.base import quantity
from pipelines.spec.sources import remote


class Spool:
    """Bytes put one after another into a file without a name, which is gone with this object."""

    def __init__(self) -> None:
        self.file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (closed by the finalizer)
        weakref.finalize(self, self.file.close)

    def put(self, data: bytes) -> tuple[int, int]:
        """Returns where it lies: offset and size."""
        offset = self.file.seek(0, 2)
        self.file.write(data)
        return offset, len(data)

    def get(self, offset: int, size: int) -> bytes:
        self.file.seek(offset)
        return self.file.read(size)


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


def open_shards(spec: ParquetSource | WebDatasetSource) -> Source:
    """Index the files. Raises SourceError when one is missing or damaged, with no two classes, or too many bad images."""
    parquet = isinstance(spec, ParquetSource)
    place, names = shards(spec.path, ".parquet" if parquet else ".tar")
    split_of = splits_of(names)
    spool = Spool()
    lies: dict[str, Any] = {}

    def members(file: IO[bytes], name: str) -> Entries:
        if isinstance(spec, WebDatasetSource):
            return entries_of_tar(file, "r:", where=f"source.path: {name}")
        return entries_of_parquet(file, Columns(spec.image, spec.label, spec.group, spec.split), f"source.path: {name}")

    def entries() -> Entries:
        for name in names:
            with place.open(name) as file, damage(f"source.path: {name}"):
                for entry in members(file, name):
                    if isinstance(entry, Problem):
                        yield Problem(f"{name}/{entry.id}", entry.reason)
                    else:
                        yield replace(entry, shard=name, split=entry.split or split_of[name])

    def keep(sha256: str, entry: Entry) -> None:
        lies[sha256] = spool.put(entry.data) if parquet else (entry.shard, *entry.place)

    def bytes_of(item: Item) -> bytes:
        if parquet:
            return spool.get(*lies[item.sha256])
        name, offset, size = lies[item.sha256]
        with place.open(name) as file:
            file.seek(offset)
            return file.read(size)

    def read(item: Item) -> Image:
        return decode(bytes_of(item), allow_synthetic=True)

    where = f"source.path: {spec.path}"
    source = checked(collect(entries(), keep, allow_synthetic=spec.allow_synthetic, where=where), read, where, spec)
    source.notes.extend(notes(spec.path, names, split_of))
    return source


def notes(path: str, names: list[str], split_of: dict[str, str | None]) -> Iterator[str]:
    last = path.rstrip("/").rpartition("/")[2]
    if last not in names and (missing := absent(last, names)):
        yield f"Of {last}, {quantity(len(missing), 'file')} are not there: {', '.join(missing[:3])}."
    loose = [name for name in names if split_of[name] is None]
    if 0 < len(loose) < len(names):
        yield f"No split is in the name of {loose[0]}, of {quantity(len(loose), 'file')} in all: their images are divided."
