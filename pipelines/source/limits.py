"""Limits of an upload: how many images its archive may hold, and how many bytes they may unpack to."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pipelines.errors import SourceError
from pipelines.records import Problem
from pipelines.source.checks import Entry


@dataclass(frozen=True, slots=True)
class Limits:
    unpacked: int  # bytes of all images together
    images: int


def bounded(entries: Iterable[Entry | Problem], limits: Limits) -> Iterator[Entry | Problem]:
    """The same entries, until a limit is passed. Raises SourceError."""
    size = 0
    for count, entry in enumerate(entries, start=1):
        size += 0 if isinstance(entry, Problem) else len(entry.data)
        if size > limits.unpacked:
            raise SourceError(f"source: more than {limits.unpacked} bytes unpacked; send fewer or smaller images")
        if count > limits.images:
            raise SourceError(f"source: more than {limits.images} files; send fewer")
        yield entry
