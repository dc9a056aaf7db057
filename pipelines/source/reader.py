"""What the reader of each form of a source can do."""

from collections.abc import Iterator, Mapping
from typing import Protocol

from pipelines.progress import Stage
from pipelines.source.checks import Contents, Entries, Place
from pipelines.source.index import Index


class Reader(Protocol):
    """Nothing but the names and tags of its files is looked at before `entries`."""

    where: str  # the source, as errors name it

    @property
    def files(self) -> Mapping[str, str]:
        """All files in their order, each with the tag that changes when its content does, or why it cannot be read."""

    @property
    def total(self) -> int:
        """How many files, or rows of tables, `entries` reads."""

    def entries(self, earlier: Index | None, done: Stage) -> Entries:
        """Everything that should be an image. What an earlier index knows of unchanged files need not be read again."""

    def notes(self, contents: Contents) -> Iterator[str]:
        """What the source's user might not expect."""

    def get(self, place: Place) -> bytes:
        """The bytes of one image. Raises BadImage or SourceError when it is not there any more."""
