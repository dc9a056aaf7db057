"""Parquet: an image and its label in each row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import SourceError
from pipelines.records import Problem
from pipelines.source.checks import Entries, Entry, Place
from pipelines.source.class_labels import class_names
from pipelines.source.limits import UNLIMITED, Limits
from pipelines.source.splits import split_in
from pipelines.source.words import word


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the columns. None: a column `group` or `split` of that name, if there is one."""

    image: str = "image"
    label: str = "label"
    group: str | None = None
    split: str | None = None

    def resolve(self, names: Sequence[str], where: str) -> "Columns":
        """The columns of a table with these names. Raises SourceError when one that was given is not there."""
        for field, name in (("image", self.image), ("label", self.label), ("group", self.group), ("split", self.split)):
            if name is not None and name not in names:
                raise SourceError(f"{where} has no column {name!r} for the {field}; it has {', '.join(names)}")
        return replace(
            self,
            group=self.group or ("group" if "group" in names else None),
            split=self.split or ("split" if "split" in names else None),
        )

    @property
    def names(self) -> list[str]:
        return list(dict.fromkeys(filter(None, (self.image, self.label, self.group, self.split))))

    def check(self, schema: pa.Schema, where: str) -> None:
        """Raises SourceError for a column that cannot be what it is taken for."""
        kinds = ((self.image, "image", is_image, "the bytes of files, or Hugging Face's images"),)
        words = ((name, use, is_word, "names or integers") for name, use in self.words if name)
        for name, use, fits, needed in (*kinds, *words):
            kind = schema.field(name).type
            if not fits(kind) or (use == "label" and pa.types.is_floating(kind)):
                raise SourceError(
                    f"{where}: column {name!r} is of type {kind}, and cannot be the {use}: {needed}; convert it, or name "
                    "another column"
                )

    @property
    def words(self) -> tuple[tuple[str | None, str], ...]:
        return (self.label, "label"), (self.group, "group"), (self.split, "split")

    def row(self, number: int, values: dict[str, Any], classes: Mapping[str, Sequence[str]]) -> Entry | Problem:
        """One row; `classes` are the names of the integers of each column that is a ClassLabel."""
        label, group, split = (self.word(values, name, classes) for name, _ in self.words)
        if label is None:
            return Problem(f"row {number}", f"has no label (given: {values[self.label]!r}); give it one, or remove it")
        if split is not None and split_in(split) is None:
            return Problem(f"row {number}", f"split {split[:40]!r} is none of train, validation, test; rename it")
        return Entry(
            f"row {number}",
            image_bytes(values[self.image]),
            label=label,
            group=group,
            split=None if split is None else split_in(split),
            place=Place(start=number),
        )

    def word(self, values: dict[str, Any], name: str | None, classes: Mapping[str, Sequence[str]]) -> str | None:
        """The value of a column as a name; None where it is missing."""
        value = values[name] if name else None
        if name and classes.get(name) and isinstance(value, int):
            return classes[name][value] if 0 <= value < len(classes[name]) else None
        return word(value)


def image_bytes(value: Any) -> bytes:
    """Of a value in a column of images: bytes, or Hugging Face's struct."""
    data = value.get("bytes") if isinstance(value, dict) else value
    return data if isinstance(data, bytes) else b""


def is_image(kind: pa.DataType) -> bool:
    kinds = pa.types
    inner = kind.field("bytes").type if kinds.is_struct(kind) and kind.get_field_index("bytes") >= 0 else kind
    return bool(
        kinds.is_binary(inner) or kinds.is_large_binary(inner) or kinds.is_binary_view(inner) or kinds.is_null(inner)
    )


def is_word(kind: pa.DataType) -> bool:
    kinds = pa.types
    if kinds.is_dictionary(kind):
        return is_word(kind.value_type)
    tests = (kinds.is_string, kinds.is_large_string, kinds.is_string_view, kinds.is_integer, kinds.is_boolean)
    return any(test(kind) for test in (*tests, kinds.is_floating, kinds.is_null))


def uncompressed_size(metadata: pq.FileMetaData, names: Sequence[str]) -> int:
    """Bytes of these columns, as the file's footer has it. Values that repeat count once."""
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    columns = (group.column(number) for group in groups for number in range(group.num_columns))
    return sum(column.total_uncompressed_size for column in columns if column.path_in_schema.split(".")[0] in names)


def entries_of_parquet(
    file: IO[bytes],
    columns: Columns = Columns(),
    where: str = "source: the Parquet file",
    limits: Limits = UNLIMITED,
) -> Entries:
    """Bytes, or Hugging Face's struct, as `image`; names, or a ClassLabel's numbers, as `label`.

    A row at a time: one value, stored once, may be repeated in every row.
    """
    table = pq.ParquetFile(file, buffer_size=2**20)
    columns = columns.resolve(table.schema_arrow.names, where)
    limits.check_files(table.metadata.num_rows)
    limits.check_unpacked(uncompressed_size(table.metadata, columns.names))
    columns.check(table.schema_arrow, where)
    classes, number = {name: class_names(table.schema_arrow, name) for name, _ in columns.words if name}, 0
    for batch in table.iter_batches(batch_size=1, columns=columns.names, use_threads=False):
        for values in batch.to_pylist():
            yield columns.row(number, values, classes)
            number += 1
