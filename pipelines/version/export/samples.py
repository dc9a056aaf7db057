"""The samples of a published version, one at a time, as its manifest lists them: of a folder, or in a service's store."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import ExportError, StoreError
from pipelines.source.class_labels import class_names
from pipelines.store import keys
from pipelines.store.object_store import Store
from pipelines.version.browse import COLUMNS

BATCH = 8  # rows in memory at a time
BUFFER = 2**22  # bytes of a column that are read at a time
TEXTS = ("group", "origin", "source_id", "source_sha256", "object_id", "object_sha256", "concept", "lora", "revision")


@dataclass(frozen=True, slots=True)
class ExportedSample:
    """A kept sample; without its image where images were not asked for."""

    row: dict[str, Any]
    classes: tuple[str, ...]

    @property
    def key(self) -> str:
        """Its name, unique in all versions of a dataset: index in the plan, and attempt."""
        return f"{self.row['index']:08d}-{self.row['attempt']}"

    @property
    def number(self) -> int:
        """Of its class, from 0."""
        return int(self.row["label"])

    @property
    def label(self) -> str:
        return self.classes[self.number]

    @property
    def image(self) -> bytes:
        """Its image, encoded as it is stored."""
        return bytes(self.row["image"]["bytes"])

    @property
    def file_name(self) -> str:
        """Of its image; by the path that is stored with that, so that it is known without the image."""
        return f"{self.key}.{self.row['image']['path'].rpartition('.')[2]}"

    @property
    def box(self) -> list[int] | None:
        """Left, top, width and height of its object in pixels."""
        return self.row.get("box")

    @property
    def mask(self) -> bytes:
        """The mask of its object, a PNG as large as the image."""
        return bytes(self.row["mask"]["bytes"])

    @property
    def provenance(self) -> dict[str, Any]:
        """Label, group, box, and where it came from. An absent text or box is an empty one, so that loaders that infer types
        from the first samples infer the right ones."""
        columns = {name: self.row[name] for name in COLUMNS if name in self.row and name != "reason"}
        texts = {name: columns[name] or "" for name in TEXTS if name in columns}
        return {**columns, **texts, "label": self.label, "box": self.box or []}


@dataclass(frozen=True)
class PublishedVersion:
    """The data files of a version, by their keys in a store."""

    store: Store
    files: tuple[str, ...]

    @cached_property
    def schema(self) -> pa.Schema:
        return self.open(self.files[0]).schema_arrow

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(class_names(self.schema))

    def open(self, key: str) -> pq.ParquetFile:
        file = self.store.file(key)
        if file is None:
            raise StoreError(f"{key}: no such file, though the version's manifest names it; pull the version again")
        return pq.ParquetFile(file, buffer_size=BUFFER, pre_buffer=False)

    def samples(self, columns: Sequence[str] | None = None) -> Iterator[ExportedSample]:
        """Every sample, in the order of the shards; with some columns alone, if they are given."""
        classes = self.classes
        for key in self.files:
            for batch in self.open(key).iter_batches(BATCH, columns=columns):
                yield from (ExportedSample(row, classes) for row in batch.to_pylist())

    def count(self, *, boxed: bool = False) -> int:
        """How many samples there are, or how many of them have a box."""
        return sum(1 for _ in self.boxed(["box"])) if boxed else sum(self.open(key).metadata.num_rows for key in self.files)

    def boxed(self, columns: Sequence[str] | None = None) -> Iterator[ExportedSample]:
        """The samples whose object's box is known: a detector would learn of the others that they hold no object."""
        return (sample for sample in self.samples(columns) if sample.box)

    def require_boxes(self, format: str) -> None:
        """Raises ExportError for a version none of whose samples has a box."""
        other = "export it as imagefolder or webdataset"
        if "box" not in self.schema.names or "mask" not in self.schema.names:
            raise ExportError(
                f"format: {format!r} needs boxes and masks, and this version was made before there were any; make a new "
                f"version, or {other}"
            )
        if next(self.boxed(["box"]), None) is None:
            raise ExportError(
                f"format: {format!r} needs to know where the object is, and no sample of this version says it: it was "
                f"generated as a whole, or there is no sample; {other}, or use a method that repaints a region"
            )


def published(store: Store, root: str = "") -> PublishedVersion:
    """A version by its root in a store; without one, the store is its folder. Raises ExportError before it is published."""
    prefix = f"{root}/" if root else ""
    key = keys.manifest(root).removeprefix("/")
    if not store.exists(key):
        raise ExportError("version: it is not published; wait for 'completed'")
    files = [file for file in json.loads(store.get(key))["files"] if file["path"].startswith("data/")]
    if not files:
        raise ExportError("version: it holds no samples; there is nothing to export")
    listed = sorted((file["path"], file.get("key")) for file in files)
    return PublishedVersion(store, tuple(prefix + path if not root or place is None else place for path, place in listed))
