"""Tables beside images that name their class, group and split: CSV, JSON Lines or Parquet with a column `file_name`."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import SourceError
from pipelines.records import Problem
from pipelines.source.class_labels import class_names
from pipelines.source.names import clean
from pipelines.source.words import text, word

METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
SUFFIXES = (".csv", ".tsv", ".jsonl")
COLUMNS = ("label", "group", "split")
MAX_NAME = 100  # characters of a group


@dataclass(frozen=True, slots=True)
class Annotation:
    label: str | None = None
    group: str | None = None
    split: str | None = None

    def over(self, other: "Annotation") -> "Annotation":
        """This one, with what it lacks from the other."""
        return Annotation(self.label or other.label, self.group or other.group, self.split or other.split)


NONE = Annotation()


def is_table(path: str) -> bool:
    """Whether a file is one whose rows name images, by its name."""
    name = PurePosixPath(path).name.lower()
    return name in METADATA or name.endswith(SUFFIXES)


def rows_of_csv(data: bytes) -> Iterator[dict[str, Any]]:
    content = text(data)
    head = content.split("\n", 1)[0]
    delimiter = max(",;\t", key=head.count)
    yield from csv.DictReader(io.StringIO(content, newline=""), delimiter=delimiter, skipinitialspace=True)


def rows_of_jsonl(data: bytes) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(text(data).splitlines(), start=1):
        if line.strip():
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError(f"line {number} is no object")
            yield row


def rows_of_parquet(data: bytes) -> Iterator[dict[str, Any]]:
    file = pq.ParquetFile(io.BytesIO(data))
    schema = file.schema_arrow
    names = {column: class_names(schema, column) for column in COLUMNS}
    for batch in file.iter_batches(columns=[column for column in ("file_name", *COLUMNS) if column in schema.names]):
        for row in batch.to_pylist():
            yield {key: named(value, names.get(key, [])) for key, value in row.items()}


def named(value: Any, names: list[str]) -> Any:
    """The name of a ClassLabel's integer."""
    return names[value] if names and isinstance(value, int) and 0 <= value < len(names) else value


def rows_of(path: str, data: bytes, where: str) -> list[dict[str, Any]]:
    """The rows of a table. Raises SourceError for one that cannot be read."""
    suffix = PurePosixPath(path).suffix.lower()
    reader = {".jsonl": rows_of_jsonl, ".parquet": rows_of_parquet}.get(suffix, rows_of_csv)
    try:
        return list(reader(data))
    except (ValueError, RecursionError, csv.Error, pa.ArrowException) as error:
        form = {".jsonl": "JSON Lines", ".parquet": "Parquet"}.get(suffix, "CSV")
        kind = form if suffix == ".parquet" else f"{form} in UTF-8"
        raise SourceError(f"{where}: cannot be read ({str(error).splitlines()[0][:200]}); save it as {kind}") from None


def annotation(row: dict[str, Any], where: str) -> Annotation:
    """What a row says. Raises SourceError that names the column of a value that is no name."""
    words = {}
    for column in COLUMNS:
        try:
            words[column] = word(row.get(column))
        except TypeError as error:
            raise SourceError(f"{where}: column {column!r}: {error}") from None
    if len(words["group"] or "") > MAX_NAME:
        raise SourceError(f"{where}: the group {words['group']!r:.100}... is longer than {MAX_NAME} characters; shorten it")
    return Annotation(**words)


@dataclass
class Annotations:
    """All tables of a source: what they say of each image, the nearest table first."""

    where: str
    rows: dict[str, tuple[int, str, Annotation]] = field(default_factory=dict)  # depth and name of the table

    def read(self, path: str, shard: str, data: bytes) -> Iterator[Problem]:
        """Take in a table, and yield what is wrong with it. Raises SourceError where it is named metadata."""
        name, home = PurePosixPath(path).name, PurePosixPath(shard, path).parent
        identity = (home / name).as_posix()
        where = f"{self.where}: {identity}"
        rows = rows_of(path, data, where)
        columns = list(dict.fromkeys(str(column) for row in rows for column in row)) or ["file_name", "label"]
        if "file_name" not in columns:
            listed = ", ".join(columns)[:300]
            if name.lower() in METADATA:
                raise SourceError(f"{where}: needs the columns file_name and label, group or split, has {listed}")
            yield Problem(identity, f"has no column file_name, but {listed}; name it, or remove the table")
            return
        if not set(COLUMNS) & set(columns):
            yield Problem(identity, "has none of the columns label, group and split; add one, or remove the table")
            return
        images: dict[str, Annotation] = {}
        for row in rows:
            if (file := word(row.get("file_name"))) is None:
                continue
            image, words = (home / clean(file)).as_posix(), annotation(row, where)
            if images.setdefault(image, words) != words:
                yield Problem(image, f"is named twice in {name}, differently: the first row is used; decide for one")
        for image, words in images.items():
            self.add(image, len(home.parts), name, words)

    def add(self, image: str, depth: int, table: str, annotation: Annotation) -> None:
        """Of two tables the deeper one has the word."""
        if image in self.rows:
            known_depth, known_table, known = self.rows[image]
            if known_depth > depth:
                depth, table, annotation = known_depth, known_table, known.over(annotation)
            else:
                annotation = annotation.over(known)
        self.rows[image] = depth, table, annotation

    def of(self, image: str) -> Annotation:
        """What the tables say of an image, by its id."""
        return self.rows[image][2] if image in self.rows else NONE

    def missing(self, known: Iterable[str]) -> list[Problem]:
        """A problem for each row whose image is not there."""
        reason = "is named in {}, and not there; correct the name, or remove the row"
        return [Problem(image, reason.format(self.rows[image][1])) for image in sorted(self.rows.keys() - set(known))]
