"""Where files of a source lie: a local folder, or a prefix of an S3 bucket. Nothing outside of it is ever read."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from io import BufferedReader
from os import stat
from pathlib import Path
from typing import BinaryIO

import obstore
from obstore.exceptions import BaseError, NotFoundError

from pipelines.errors import SourceError, UnreachableError
from pipelines.records import Problem
from pipelines.source.buckets import open_bucket
from pipelines.source.decode import BadImage
from pipelines.source.names import MAX_FILE, TOO_LARGE, clean, hidden
from pipelines.source.tree import refusal, unreadable, walk
from pipelines.spec.sources import remote
from pipelines.store.object_store import ObjectReader, Store, retried

AHEAD = 16  # files fetched at a time
BUFFER = 4 * 2**20  # bytes of an object fetched at a time


@dataclass(frozen=True)
class Folder:
    root: Path

    def files(self, deep: bool = True) -> list[str | Problem]:
        """Names of the files in it, and with `deep` below it, sorted, hidden ones left out; a problem for what cannot be
        read."""
        return [name if reason is None else Problem(name, reason) for name, reason in walk(self.root, deep)]

    def tags(self, names: Sequence[str]) -> dict[str, str]:
        """Size and time of change of each file, links followed; nothing where it is not there."""
        root = str(self.root)

        def tag(name: str) -> str:
            try:
                status = stat(f"{root}/{name}")
            except OSError:
                return ""
            return f"{status.st_size} {status.st_mtime_ns}"

        return {name: tag(name) for name in names}

    def inside(self, name: str) -> Path:
        """A regular file of the folder. Raises BadImage."""
        if reason := refusal(self.root, self.root / name):
            raise BadImage(reason)
        return self.root / name

    def get(self, name: str) -> bytes:
        """A file's bytes. Raises BadImage."""
        path = self.inside(name)
        try:
            if path.stat().st_size > MAX_FILE:
                raise BadImage(TOO_LARGE)
            return path.read_bytes()
        except OSError as error:
            raise BadImage(unreadable(error)) from None

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """A file to read in parts. Raises SourceError."""
        try:
            file = self.inside(name).open("rb")
        except (BadImage, OSError) as error:
            raise SourceError(f"source.path: {self.root / name} {error}") from None
        with file:
            yield file


@dataclass(frozen=True)
class Bucket:
    url: str
    store: Store

    @cached_property
    def objects(self) -> dict[str, str]:
        """The size and ETag of all objects below the prefix by name, sorted, listed once. Raises SourceError."""
        with self.reached():
            listed = [meta for batch in self.store.scan("") for meta in batch]
        tags = {str(meta["path"]): f"{meta['size']} {meta.get('e_tag') or meta['last_modified']}" for meta in listed}
        return dict(sorted(tags.items()))

    def files(self, deep: bool = True) -> list[str | Problem]:
        """As of a folder; what only marks a folder is none. Raises SourceError."""
        folders = {parent for name in self.objects for parent in parents(name)}
        names = [name for name in self.objects if name not in folders and (deep or "/" not in name)]
        return [name for name in names if not hidden(clean(name))]

    def tags(self, names: Sequence[str]) -> dict[str, str]:
        """As of a folder."""
        return {name: self.objects[name] for name in names}

    def get(self, name: str) -> bytes:
        """An object's bytes. Raises BadImage, or SourceError when the store fails."""
        with self.reached():
            try:
                response = retried(lambda: obstore.get(self.store.objects, name))
                if response.meta["size"] > MAX_FILE:
                    raise BadImage(TOO_LARGE)
                return bytes(response.bytes())
            except (NotFoundError, FileNotFoundError):
                raise BadImage("is not there any more; remove it from the source, or put it back") from None

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        with self.reached(), BufferedReader(ObjectReader(self.store.objects, name), BUFFER) as file:
            yield file

    @contextmanager
    def reached(self) -> Iterator[None]:
        """Errors of an object store are raised as SourceError inside the block."""
        try:
            yield
        except (BaseError, FileNotFoundError, ValueError) as error:
            if isinstance(error, BadImage):
                raise
            message = str(error).split("\n")[0][:300]
            raise UnreachableError(
                f"source.path: {self.url} cannot be read ({message}); check its address and the "
                "AWS_* variables, or the profile in ~/.aws"
            ) from None


Location = Folder | Bucket


def parents(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]


def open_location(path: str, holds: str) -> Location:
    """Raises SourceError for a folder that is not there."""
    if remote(path):
        bucket, _, prefix = path.removeprefix("s3://").rstrip("/").partition("/")
        return Bucket(path, Store(open_bucket(bucket, prefix)))
    if not Path(path).is_dir():
        raise SourceError(f"source.path: {path} is not a folder; give one that holds {holds}")
    return Folder(Path(path))


def prefetch(place: Location, names: Sequence[str]) -> Iterator[tuple[str, bytes | BadImage]]:
    """Each file with its bytes, in their order; a few are fetched at a time."""

    def fetch(name: str) -> bytes | BadImage:
        try:
            return place.get(name)
        except BadImage as error:
            return error

    with ThreadPoolExecutor(AHEAD) as pool:
        for start in range(0, len(names), AHEAD):
            some = names[start : start + AHEAD]
            yield from zip(some, pool.map(fetch, some), strict=True)
