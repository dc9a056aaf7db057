"""Samples that were generated, as training data: what is needed of their rows, and their images, read one after another."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow.parquet as pq

from pipelines.errors import StoreError
from pipelines.store import keys
from pipelines.store.object_store import Store
from pipelines.version.files import all_stored
from pipelines.version.plan import Plan

Row = dict[str, Any]  # of a version's data files, without its image
COLUMNS = ("label", "group", "index", "origin", "source_id", "concept", "strength", "group_id")
BATCH = 64  # images in memory at a time


@dataclass(frozen=True)
class Samples:
    """The kept samples of all shards, in their order."""

    store: Store
    root: str
    plan: Plan

    @cached_property
    def files(self) -> list[str]:
        """Raises StoreError when a shard is not done."""
        return [files["data"] for files in all_stored(self.store, self.root, self.plan)]

    @cached_property
    def rows(self) -> list[Row]:
        return [row for file in self.files for row in self.open(file).read(columns=list(COLUMNS)).to_pylist()]

    def images(self) -> Iterator[bytes]:
        """As they are stored."""
        for file in self.files:
            for batch in self.open(file).iter_batches(BATCH, columns=["image"]):
                yield from (image["bytes"] for image in batch.column("image").to_pylist())

    @cached_property
    def digests(self) -> Sequence[str]:
        """The SHA-256 of each file: by its shard's report, if that says it."""
        return [self.reported(number) or self.hashed(file) for number, file in enumerate(self.files)]

    def reported(self, number: int) -> str | None:
        key = keys.report(self.root, number)
        report = self.store.json(key) if self.store.exists(key) else {}
        digest: str | None = report.get("files", {}).get("data", {}).get("sha256")
        return digest

    def hashed(self, file: str) -> str:
        return hashlib.sha256(self.store.get(file)).hexdigest()

    def open(self, file: str) -> pq.ParquetFile:
        reader = self.store.file(file)
        if reader is None:
            raise StoreError(f"{file}: no such object, though a report names it")
        return pq.ParquetFile(reader)
