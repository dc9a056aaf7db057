"""Limits of an archive that a client sent: how many files it may hold, and how many bytes they may unpack to."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pipelines.errors import SourceError
from pipelines.records import Problem
from pipelines.source.checks import Entry


@dataclass(frozen=True, slots=True)
class Limits:
    unpacked: int = sys.maxsize  # bytes of all files together
    images: int = sys.maxsize

    def check_unpacked(self, size: int) -> None:
        """Raises SourceError for so many bytes."""
        if size > self.unpacked:
            raise SourceError(f"source: more than {self.unpacked} bytes unpacked; send fewer or smaller images")

    def check_files(self, count: int) -> None:
        """Raises SourceError for so many files."""
        if count > self.images:
            raise SourceError(f"source: more than {self.images} files; send fewer")


UNLIMITED = Limits()


def bounded(entries: Iterable[Entry | Problem], limits: Limits) -> Iterator[Entry | Problem]:
    """The same entries, until a limit is passed. Raises SourceError."""
    size = 0
    for count, entry in enumerate(entries, start=1):
        size += 0 if isinstance(entry, Problem) else len(entry.data)
        limits.check_unpacked(size)
        limits.check_files(count)
        yield entry
