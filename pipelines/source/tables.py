"""Parquet: an image and its label in each row."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import IO, Any

import pyarrow.parquet as pq

from pipelines.errors import SourceError
from pipelines.records import Problem
from pipelines.source.checks import Entries, Entry
from pipelines.source.class_labels import class_names
from pipelines.source.limits import UNLIMITED, Limits
from pipelines.source.splits import split_in


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

    def row(self, number: int, values: dict[str, Any], classes: Sequence[str]) -> Entry | Problem:
        """One row; `classes` are the names of a ClassLabel's integers, if it is one."""
        image, label = values[self.image], values[self.label]
        group, split = (values[name] if name else None for name in (self.group, self.split))
        if label is None or (classes and isinstance(label, int) and not 0 <= label < len(classes)):
            return Problem(f"row {number}", f"has no label (given: {label!r}); give it one, or remove it")
        if split is not None and split_in(str(split)) is None:
            return Problem(f"row {number}", f"split {str(split)[:40]!r} is none of train, validation, test; rename it")
        data = image.get("bytes") if isinstance(image, dict) else image
        return Entry(
            f"row {number}",
            data if isinstance(data, bytes) else b"",
            label=classes[label] if classes and isinstance(label, int) else str(label),
            group=None if group is None else str(group),
            split=None if split is None else split_in(str(split)),
            place=number,
        )


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
    classes, number = class_names(table.schema_arrow, columns.label), 0
    for batch in table.iter_batches(batch_size=1, columns=columns.names, use_threads=False):
        for values in batch.to_pylist():
            yield columns.row(number, values, classes)
            number += 1
