"""The index of a source: what it holds, found out once. A row for each usable image, and one for each that is not."""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from sys import intern
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.records import Item, Problem
from pipelines.source.checks import Contents, Facts, Place
from pipelines.source.splits import SPLITS

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("reason", pa.string()),  # why it cannot be used; null: it can, and the rest is known
        ("split", pa.string()),
        ("sha256", pa.string()),
        ("label", pa.string()),
        ("group", pa.string()),
        ("width", pa.int32()),  # pixels; null in uploads of older releases
        ("height", pa.int32()),
        ("file", pa.binary()),  # a Place; names of files are bytes that need be no UTF-8
        ("start", pa.int64()),
        ("size", pa.int64()),
        ("tag", pa.string()),  # of the file when it was read
    ]
)


@dataclass(frozen=True)
class Index:
    images: pa.Table  # of the SCHEMA; the usable ones by split, each split sorted by id
    refused: pa.Table
    notes: Sequence[str] = ()  # what its user might not expect: sentences

    @classmethod
    def of(cls, contents: Contents, tags: Mapping[str, str], notes: Sequence[str] = ()) -> "Index":
        """The index of what was collected; `tags` of its files by name."""
        items = [(split, item) for split in SPLITS for item in contents.splits[split]]
        pictures = [contents.pictures[item.sha256] for _, item in items]
        columns: dict[str, list[Any]] = {
            "split": [split for split, _ in items],
            **{name: [getattr(item, name) for _, item in items] for name in ("id", "sha256", "label", "group")},
            **{name: [getattr(picture.facts, name) for picture in pictures] for name in ("width", "height")},
            "file": [encoded(picture.place.file) for picture in pictures],
            **{name: [getattr(picture.place, name) for picture in pictures] for name in ("start", "size")},
            "tag": [tags.get(picture.place.file) for picture in pictures],
        }
        return cls(table(columns), table_of_problems(contents.problems), notes)

    @classmethod
    def of_rows(cls, rows: Iterable[Mapping[str, Any]], problems: Iterable[Problem]) -> "Index":
        """The index of an upload; each row is of the SCHEMA, and may lack columns."""
        return cls(pa.Table.from_pylist(list(rows), SCHEMA), table_of_problems(problems))

    def encode(self) -> bytes:
        """As Parquet."""
        data, metadata = io.BytesIO(), {"notes": json.dumps(list(self.notes))}
        whole = pa.concat_tables([self.images, self.refused]).replace_schema_metadata(metadata)
        pq.write_table(whole, data, compression="zstd")
        return data.getvalue()

    @classmethod
    def decode(cls, data: bytes) -> "Index":
        whole = pq.read_table(io.BytesIO(data))
        notes = json.loads(whole.schema.metadata[b"notes"])
        whole, usable = whole.replace_schema_metadata(None), pc.is_null(whole.column("reason"))
        return cls(whole.filter(usable), whole.filter(pc.invert(usable)), notes)

    @cached_property
    def hashes(self) -> list[str]:
        hashes: list[str] = self.images.column("sha256").to_pylist()
        return hashes

    @cached_property
    def rows(self) -> dict[str, int]:
        """The number of each image's row, by SHA-256."""
        return {sha256: row for row, sha256 in enumerate(self.hashes)}

    def splits(self) -> dict[str, list[Item]]:
        """The items of each split."""
        splits: dict[str, list[Item]] = {split: [] for split in SPLITS}
        columns = (self.images.column(name).to_pylist() for name in ("split", "id", "label", "group"))
        for sha256, split, identity, label, group in zip(self.hashes, *columns, strict=True):
            splits[split].append(Item(identity, sha256, intern(label), group and intern(group)))
        return splits

    def problems(self) -> list[Problem]:
        columns = (self.refused.column(name).to_pylist() for name in ("id", "reason"))
        return [Problem(identity, reason) for identity, reason in zip(*columns, strict=True)]

    def place(self, sha256: str) -> Place:
        """Where the bytes of an image lie."""
        row = self.rows[sha256]
        file, start, size = (self.images.column(name)[row].as_py() for name in ("file", "start", "size"))
        return Place(decoded(file), start or 0, size or 0)

    def unchanged(self, tags: Mapping[str, str]) -> dict[str, Facts]:
        """What is known of the files, an image in each, whose tags are still these, by name."""
        names = ("file", "tag", "width", "height")
        columns = zip(self.hashes, *(self.images.column(name).to_pylist() for name in names), strict=True)
        files = ((decoded(file), tag, Facts(sha256, width, height)) for sha256, file, tag, width, height in columns)
        return {file: facts for file, tag, facts in files if tag and tags.get(file) == tag}


def table(columns: Mapping[str, Sequence[Any]]) -> pa.Table:
    """A table of the SCHEMA; a column that is not given is null."""
    count = len(next(iter(columns.values())))
    return pa.table([columns.get(name) or [None] * count for name in SCHEMA.names], SCHEMA)


def table_of_problems(problems: Iterable[Problem]) -> pa.Table:
    pairs = [(problem.id, problem.reason) for problem in problems]
    return table({"id": [identity for identity, _ in pairs], "reason": [reason for _, reason in pairs]})


def encoded(file: str) -> bytes:
    return file.encode("utf-8", "surrogateescape")


def decoded(file: bytes) -> str:
    return file.decode("utf-8", "surrogateescape")
