"""One image of a source that is read where it lies, for whoever looks at it: its place by the stored index, then its bytes
alone, in bounded time and memory. For its sake nothing is indexed, copied, or fetched from the hub."""

import time

import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.errors import SourceError
from pipelines.progress import step, watched
from pipelines.source.archives import damage
from pipelines.source.checks import Place
from pipelines.source.index import decoded
from pipelines.source.indexing import newest_key, source_digest
from pipelines.source.location import Location
from pipelines.source.readers.hub import HubReader
from pipelines.source.readers.shards import ShardReader
from pipelines.source.spool import row_group
from pipelines.source.tables import image_bytes
from pipelines.spec import HubSource, ParquetSource, WebDatasetSource
from pipelines.store.object_store import Store

SECONDS = 8.0  # for one image
LARGEST_GROUP = 256 * 2**20  # bytes that the images of a Parquet file's row group may unpack to

ShardSource = ParquetSource | WebDatasetSource | HubSource


def read_one(spec: ShardSource, identity: str, store: Store) -> bytes:
    """The bytes of the image of this id. Raises SourceError, which says why it cannot be read."""
    deadline = time.monotonic() + SECONDS

    def check() -> None:
        if time.monotonic() > deadline:
            raise SourceError(f"to read it takes longer than {SECONDS:.0f} seconds")

    with watched(check, check):
        place = place_of(spec, identity, store)
        if isinstance(spec, HubSource):
            return HubReader(spec, fetch=False).get(place)
        reader = ShardReader(spec)
        return row_of(reader.location, spec.image, place) if isinstance(spec, ParquetSource) else reader.get(place)


def place_of(spec: ShardSource, identity: str, store: Store) -> Place:
    """Where an image lies, by the newest index of the source. Raises SourceError."""
    key = newest_key(store, source_digest(spec))
    file = None if key is None else store.file(key)
    if file is None:
        raise SourceError("the index of its source is not in the store any more; a new version makes it again")
    table = pq.ParquetFile(file)
    row = pc.index(table.read(columns=["id"]).column("id"), identity).as_py()
    step()
    columns = ("file", "start", "size")
    name, start, size = table.read(columns=columns).slice(row, 1).to_pylist()[0].values() if row >= 0 else (None, 0, 0)
    if name is None:
        raise SourceError("the newest index of its source does not have it any more")
    return Place(decoded(name), start or 0, size or 0)


def row_of(location: Location, column: str, place: Place) -> bytes:
    """The image in a row of a Parquet file, of which no more is unpacked than the rows before it. Raises SourceError."""
    with location.open(place.file) as file, damage(f"source.path: {place.file}"):
        table = pq.ParquetFile(file, buffer_size=2**20)
        group, first = row_group(table.metadata, place.start, place.file)
        chunks = table.metadata.row_group(group)
        parts = (chunks.column(number) for number in range(chunks.num_columns))
        size = sum(part.total_uncompressed_size for part in parts if part.path_in_schema.split(".")[0] == column)
        if size > LARGEST_GROUP:
            raise SourceError(f"it lies in a row group of {size // 2**20} MiB, too large to be read for one image")
        batches = table.iter_batches(batch_size=1, row_groups=[group], columns=[column], use_threads=False)
        for number, batch in enumerate(batches, start=first):
            step()
            if number == place.start:
                return image_bytes(batch.column(0)[0].as_py())
    raise SourceError(f"{place.file} has no row {place.start} any more")
