"""Images of Parquet files, copied to disk a row group at a time when the first of it is read: Parquet gives no single row
without the thousands beside it."""

import tempfile
import weakref
from threading import Lock
from typing import IO

import pyarrow.parquet as pq

from pipelines.errors import SourceError
from pipelines.progress import step
from pipelines.source.archives import damage
from pipelines.source.checks import Place
from pipelines.source.location import Location
from pipelines.source.tables import image_bytes


class Spool:
    """The copy is a file without a name, which is gone with this object."""

    def __init__(self, location: Location, column: str) -> None:
        """`column` of the images."""
        self.location, self.column, self.lock = location, column, Lock()
        self.copied: dict[tuple[str, int], tuple[int, int]] = {}  # by file and row, where it lies: offset and size
        self.file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (closed by the finalizer)
        weakref.finalize(self, self.file.close)

    def get(self, place: Place) -> bytes:
        """The bytes of an image. Raises SourceError when its file is not there any more, or has fewer rows."""
        with self.lock:
            if (place.file, place.start) not in self.copied:
                self.copy(place.file, place.start)
            offset, size = self.copied[place.file, place.start]
            self.file.seek(offset)
            return self.file.read(size)

    def copy(self, name: str, row: int) -> None:
        """Copy the row group that a row lies in."""
        with self.location.open(name) as file, damage(f"source.path: {name}"):
            table = pq.ParquetFile(file, buffer_size=2**20)
            group, first = row_group(table.metadata, row, name)
            batches = table.iter_batches(batch_size=1, row_groups=[group], columns=[self.column], use_threads=False)
            for number, batch in enumerate(batches, start=first):
                step()
                data = image_bytes(batch.column(0)[0].as_py())
                self.copied[name, number] = self.file.seek(0, 2), len(data)
                self.file.write(data)


def row_group(metadata: pq.FileMetaData, row: int, name: str) -> tuple[int, int]:
    """The row group that a row of a file lies in, and its first row. Raises SourceError."""
    first = 0
    for group in range(metadata.num_row_groups):
        count = metadata.row_group(group).num_rows
        if row < first + count:
            return group, first
        first += count
    raise SourceError(f"source.path: {name} has no row {row} any more: it has changed while it was used; start again")
