"""The checks that every image of a source passes, wherever it comes from."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from pipelines.records import Item, Problem
from pipelines.source.decode import BadImage, upright_size
from pipelines.source.layout import MAX_NAME
from pipelines.source.names import MAX_FILE, SUFFIXES, TOO_LARGE


@dataclass(frozen=True, slots=True)
class Place:
    """Where its reader finds the bytes of an image again."""

    file: str = ""  # its name in the folder, bucket or store; of the hub's, the split
    start: int = 0  # of a tar's member the offset, of a table's row the number
    size: int = 0  # of a tar's member, bytes


@dataclass(frozen=True, slots=True)
class Facts:
    """What the bytes of a usable image say of it."""

    sha256: str
    width: int  # pixels, of the upright image
    height: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, or a row of a table, that should be an image."""

    path: str  # in its folder or archive; gives class and split where no annotation does
    data: bytes = field(repr=False)
    label: str | None = None
    group: str | None = None
    split: str | None = None
    shard: str = ""  # the file that it lies in, of several
    place: Place = Place()
    known: Facts | None = None  # of bytes that were checked before, which are not read again: `data` is empty

    @property
    def id(self) -> str:
        return f"{self.shard}/{self.path}" if self.shard else self.path


Entries = Iterator[Entry | Problem]


@dataclass(frozen=True, slots=True)
class Picture:
    """A usable image. Its class, group and split may stand elsewhere."""

    path: str  # clean
    shard: str
    facts: Facts
    label: str | None
    group: str | None
    split: str | None
    place: Place

    @property
    def id(self) -> str:
        return f"{self.shard}/{self.path}" if self.shard else self.path

    @property
    def sha256(self) -> str:
        return self.facts.sha256


@dataclass
class Contents:
    """The usable images of a source by split, and the problems of all others."""

    splits: dict[str, list[Item]]
    problems: list[Problem]
    pictures: dict[str, Picture]  # of the usable images, by SHA-256


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
    facts = entry.known or check_bytes(entry.data, allow_synthetic)
    return Picture(path, entry.shard, facts, entry.label, entry.group, entry.split, entry.place)


def check_bytes(data: bytes, allow_synthetic: bool) -> Facts:
    """Raises BadImage."""
    if len(data) > MAX_FILE:
        raise BadImage(TOO_LARGE)
    width, height = upright_size(data, allow_synthetic=allow_synthetic)
    return Facts(hashlib.sha256(data).hexdigest(), width, height)
