"""The checks that every image of a source passes, wherever it comes from."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from pipelines.records import Item, Problem
from pipelines.source.decode import BadImage, load
from pipelines.source.layout import MAX_NAME
from pipelines.source.names import MAX_FILE, SUFFIXES, TOO_LARGE


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, or a row of a table, that should be an image."""

    path: str  # in its folder or archive; gives class and split where no annotation does
    data: bytes = field(repr=False)
    label: str | None = None
    group: str | None = None
    split: str | None = None
    shard: str = ""  # the file that it lies in, of several
    place: Any = None  # where its reader finds the bytes again

    @property
    def id(self) -> str:
        return f"{self.shard}/{self.path}" if self.shard else self.path


Entries = Iterator[Entry | Problem]


@dataclass(frozen=True, slots=True)
class Picture:
    """A usable image. Its class, group and split may stand elsewhere."""

    path: str  # clean
    shard: str
    sha256: str
    label: str | None
    group: str | None
    split: str | None

    @property
    def id(self) -> str:
        return f"{self.shard}/{self.path}" if self.shard else self.path


@dataclass
class Contents:
    """The usable images of a source by split, and the problems of all others."""

    splits: dict[str, list[Item]]
    problems: list[Problem]


def check_suffix(path: str) -> None:
    """Raises BadImage for a file whose suffix is no image's: it is never opened."""
    suffix = PurePosixPath(path).suffix.lower()
    if not suffix:
        raise BadImage("is no image by its name; images lie right below their class's folder, each with its suffix")
    if suffix not in SUFFIXES:
        raise BadImage(f"suffix {suffix!r} is not one of {', '.join(sorted(SUFFIXES))}; convert or remove it")


def check_picture(entry: Entry, path: str, allow_synthetic: bool) -> Picture:
    """An entry whose path is `path`, clean, as a picture. Raises BadImage."""
    if ".." in path.split("/") or path.startswith("/") or "\0" in path:
        raise BadImage("its path leaves the archive; pack it again with paths inside the folder")
    if entry.label is None:
        check_suffix(path)
    if entry.group is not None and len(entry.group) > MAX_NAME:
        raise BadImage(f"its group has {len(entry.group)} characters, more than {MAX_NAME}; shorten it")
    if len(entry.data) > MAX_FILE:
        raise BadImage(TOO_LARGE)
    load(entry.data, allow_synthetic=allow_synthetic)
    sha256 = hashlib.sha256(entry.data).hexdigest()
    return Picture(path, entry.shard, sha256, entry.label, entry.group, entry.split)
