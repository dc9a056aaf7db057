"""Where files of a source lie: a local folder, or a prefix of an S3 bucket. Nothing outside of it is ever read."""

import stat
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase
from functools import cached_property
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import S3Store

from pipelines.errors import SourceError, UnreachableError
from pipelines.source.decode import MAX_FILE, BadImage
from pipelines.spec.sources import remote
from pipelines.store.object_store import ObjectReader, Store, retried

AHEAD = 16  # files fetched at a time
BUFFER = 4 * 2**20  # bytes of an object fetched at a time
TOO_LARGE = f"larger than {MAX_FILE // 2**20} MiB; scale it down"


@dataclass(frozen=True)
class Folder:
    root: Path

    def glob(self, pattern: str) -> list[str]:
        """Names of files by a pattern of names, with `**/` before it in all folders below; sorted."""
        return [path.relative_to(self.root).as_posix() for path in sorted(self.root.glob(pattern))]

    def empty(self, parent: str) -> list[str]:
        """Names of the folders right below one, "" for this one, that have nothing in them."""
        folders = [
            path for path in sorted((self.root / parent).glob("*")) if path.is_dir() and not path.name.startswith(".")
        ]
        return [path.name for path in folders if not any(path.iterdir())]

    def inside(self, name: str) -> Path:
        """A regular file of the folder. Raises BadImage."""
        path = self.root / name
        try:
            if self.root.resolve() not in path.resolve().parents:
                raise BadImage("is a link out of the source's folder; copy the file into it")
            if not stat.S_ISREG(path.stat().st_mode):
                raise BadImage("cannot be read (no file); make it a readable file, or remove it")
        except (OSError, RuntimeError) as error:  # RuntimeError: a link to itself
            raise unreadable(error) from None
        return path

    def get(self, name: str) -> bytes:
        """A file's bytes. Raises BadImage."""
        path = self.inside(name)
        try:
            if path.stat().st_size > MAX_FILE:
                raise BadImage(TOO_LARGE)
            return path.read_bytes()
        except OSError as error:
            raise unreadable(error) from None

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """A file to read in parts. Raises SourceError."""
        try:
            file = self.inside(name).open("rb")
        except (BadImage, OSError) as error:
            raise SourceError(f"source.path: {self.root / name} {error}") from None
        with file:
            yield file


def unreadable(error: Exception) -> BadImage:
    return BadImage(f"cannot be read ({type(error).__name__}); make it a readable file, or remove it")


@dataclass(frozen=True)
class Bucket:
    url: str
    store: Store

    @cached_property
    def names(self) -> list[str]:
        """Names of all objects below the prefix, listed once. Raises SourceError."""
        with self.reached():
            return self.store.keys("")

    def glob(self, pattern: str) -> list[str]:
        """As in a folder. Raises SourceError."""
        if pattern.startswith("**/"):
            return [name for name in self.names if fnmatchcase(name.rsplit("/", 1)[-1], pattern[3:])]
        names = pattern.split("/")
        parts = [(name, name.split("/")) for name in self.names]
        return [name for name, part in parts if len(part) == len(names) and all(map(fnmatchcase, part, names))]

    def empty(self, parent: str) -> list[str]:
        """A bucket has no folders that are empty."""
        return []

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
                f"source.path: {self.url} cannot be read ({message}); check its address and the AWS_* variables"
            ) from None


Location = Folder | Bucket


def open_location(path: str, holds: str) -> Location:
    """Raises SourceError for a folder that is not there."""
    if remote(path):
        bucket, _, prefix = path.removeprefix("s3://").rstrip("/").partition("/")
        # By its parts: in a URL, %2e%2e would lead out of the prefix.
        objects = S3Store(bucket, prefix=prefix or None, retry_config={"retry_timeout": timedelta(seconds=10)})
        return Bucket(path, Store(objects))
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
