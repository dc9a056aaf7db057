"""Browsing a version's samples, kept and dropped, a page at a time, with little memory and without torch."""

import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.source.class_labels import class_names
from pipelines.store.object_store import Store
from pipelines.version.files import Kind, stored
from pipelines.version.plan import Plan, read_plan

Verdict = Literal["kept", "dropped"]
Picture = Literal["image", "mask"]  # columns of encoded images
Place = tuple[int, Verdict]  # a shard, and which of its files
KINDS: dict[Verdict, Kind] = {"kept": "data", "dropped": "rejected"}
FILES = 50  # Parquet files read for one page, at most
# All but the images, in the order of display.
COLUMNS = ("index", "attempt", "label", "group", "box", "origin", "source_id", "source_sha256", "object_id", "object_sha256",
           "method", "prompt", "group_id", "concept", "lora", "seed", "strength", "guidance", "steps", "model", "revision",
           "scores", "reason")  # fmt: skip


@dataclass(frozen=True, slots=True)
class SampleFilter:
    """Which samples a page holds; None: any."""

    verdict: Verdict | None = None
    reason: str | None = None  # prefix of the reason: "quality", or all of it
    label: str | None = None
    group: str | None = None
    score: str | None = None  # "filter.score": those that have it, from `least` to `most`
    least: float = float("-inf")
    most: float = float("inf")
    region: Mapping[Place, Sequence[int]] | None = None  # the rows that may be on it, of the files that have such, going up

    def matches(self, file: pq.ParquetFile, place: Place) -> list[int]:
        """The numbers of the rows of the file at a place that a page holds. The columns of the filter alone are read."""
        label = None if self.label is None else place_of(self.label, class_names(file.schema_arrow))
        equal = {name: value for name, value in (("label", label), ("group", self.group)) if value is not None}
        columns = [*equal, *(["reason"] if self.reason is not None else []), *(["scores"] if self.score is not None else [])]
        numbers = list(range(int(file.metadata.num_rows)) if self.region is None else self.region.get(place, ()))
        if not columns or not numbers:
            return numbers
        table = file.read(columns=columns)
        table = (table if self.region is None else table.take(numbers)).append_column("row", pa.array(numbers))
        for name, value in equal.items():
            table = table.filter(pc.equal(table.column(name), value))
        if self.reason is not None:
            table = table.filter(pc.starts_with(table.column("reason"), self.reason))
        numbers = [int(number) for number in table.column("row").to_pylist()]
        if self.score is None:
            return numbers
        scores = table.column("scores").to_pylist()
        return [number for number, text in zip(numbers, scores, strict=True) if self.in_range(json.loads(text))]

    def admits(self, sample: dict[str, Any]) -> bool:
        """Whether a page holds a sample."""
        equal = all(getattr(self, name) in (None, sample[name]) for name in ("verdict", "label", "group"))
        reason = self.reason is None or str(sample["reason"] or "").startswith(self.reason)
        return equal and reason and (self.score is None or self.in_range(sample["scores"]))

    def in_range(self, scores: dict[str, Any]) -> bool:
        value = scores.get(self.score or "")
        return isinstance(value, int | float) and self.least <= value <= self.most


def place_of(label: str, classes: Sequence[str]) -> int:
    """A class as the files have it; -1 for one that there is not."""
    return classes.index(label) if label in classes else -1


def open_samples(store: Store, key: str) -> pq.ParquetFile | None:
    """A data file; None where there is none (any more)."""
    file = store.file(key)
    return None if file is None else pq.ParquetFile(file)


def sample(row: dict[str, Any], verdict: Verdict) -> dict[str, Any]:
    return {**row, "id": f"{row['index']}-{row['attempt']}", "verdict": verdict, "scores": json.loads(row["scores"])}


def rows(file: pq.ParquetFile) -> list[dict[str, Any]]:
    return chosen_rows(file, range(file.metadata.num_rows))


def chosen_rows(file: pq.ParquetFile, numbers: Sequence[int]) -> list[dict[str, Any]]:
    """The rows of these numbers, which go up. Row groups that hold none of them are not read."""
    if not numbers:
        return []
    schema = file.schema_arrow
    classes, names = class_names(schema), set(schema.names)
    columns = [name for name in COLUMNS if name in names]
    sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    ends = list(accumulate(sizes))
    groups = sorted({bisect_right(ends, number) for number in numbers})
    read = [number for group in groups for number in range(ends[group] - sizes[group], ends[group])]
    table = file.read_row_groups(groups, columns=columns).take([bisect_left(read, number) for number in numbers])
    return [{**row, "label": classes[row["label"]]} for row in table.to_pylist()]


def files(plan: Plan, only: SampleFilter) -> list[Place]:
    """The data files that may hold samples of the filter, by the number of their shard."""
    chosen: list[Place] = []
    for number in range(plan.shards):
        if only.verdict != "dropped" and only.reason is None:
            chosen.append((number, "kept"))
        if only.verdict != "kept" and number < plan.generated_shards:
            chosen.append((number, "dropped"))
    return chosen if only.region is None else [place for place in chosen if place in only.region]


def page(
    store: Store, root: str, only: SampleFilter, start: tuple[int, int], limit: int
) -> tuple[list[Any], tuple[int, int] | None]:
    """Samples from (file, row) on, and where the next page starts; None after the last.

    A page may hold fewer than `limit`, even none, though more follow: it reads a bounded number of files.
    """
    plan = read_plan(store, root)
    if plan is None:
        return [], None
    places = files(plan, only)
    samples: list[dict[str, Any]] = []
    first, offset = start
    for number in range(first, min(first + FILES, len(places))):
        shard, verdict = places[number]
        key = (stored(store, root, plan, shard) or {}).get(KINDS[verdict])  # None while it is not done
        file = None if key is None else open_samples(store, key)
        if file is None:
            continue
        matches = [row for row in only.matches(file, places[number]) if (number, row) >= (first, offset)]
        room = limit - len(samples)
        samples += [sample(values, verdict) for values in chosen_rows(file, matches[:room])]
        if len(matches) > room:
            return samples, (number, matches[room])
    return samples, (first + FILES, 0) if first + FILES < len(places) else None


def find(store: Store, root: str, index: int, attempt: int) -> dict[str, Any] | None:
    """One sample; None if there is no such sample."""
    place = locate(store, root, index, attempt)
    if place is None:
        return None
    file, row, verdict = place
    return sample(rows(file)[row], verdict)


def locate(store: Store, root: str, index: int, attempt: int) -> tuple[pq.ParquetFile, int, Verdict] | None:
    """The data file that holds a sample, its row there, and whether it was kept; None if there is no such sample."""
    plan = read_plan(store, root)
    for key in files_of(store, root, plan, index) if plan else ():
        if (file := open_samples(store, key)) is None:
            continue
        table = file.read(columns=["index", "attempt", "reason"])
        for row, values in enumerate(table.to_pylist()):
            if (values["index"], values["attempt"]) == (index, attempt):
                return file, row, "kept" if values["reason"] is None else "dropped"
    return None


def files_of(store: Store, root: str, plan: Plan, index: int) -> Iterator[str]:
    """The files that may hold sample `index`: indices are dealt to shards in turn."""
    for number in (n for n in range(plan.shards) if index in plan.indices(n)):
        files = stored(store, root, plan, number) or {}
        yield from (files[kind] for kind in KINDS.values() if kind in files)


def image(store: Store, root: str, index: int, attempt: int, column: Picture = "image") -> bytes | None:
    """The encoded image of one sample, or the mask of its object; None if there is no such sample, or it has no mask."""
    place = locate(store, root, index, attempt)
    return None if place is None else encoded_image(place[0], place[1], column)


def encoded_image(file: pq.ParquetFile, row: int, column: Picture) -> bytes | None:
    """The image in a column of a row, read from its row group alone."""
    if column not in file.schema_arrow.names:  # of an older release
        return None
    for group in range(file.num_row_groups):
        size = file.metadata.row_group(group).num_rows
        if row < size:
            cell = file.read_row_group(group, columns=[column]).column(column)[row].as_py()
            return None if cell is None else bytes(cell["bytes"])
        row -= size
    raise IndexError(row)
