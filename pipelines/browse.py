"""Looking into a version's samples a page at a time, kept and dropped ones, with little memory and without torch."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.plan import Plan, read_plan
from pipelines.store import Store

Verdict = Literal["kept", "dropped"]
FILES = 50  # Parquet files that one page looks into at most
# What cannot be read back from the image alone, in the order in which it is shown.
COLUMNS = ("index", "attempt", "label", "group", "origin", "source_id", "source_sha256", "object_id", "object_sha256",
           "method", "prompt", "concept", "lora", "seed", "strength", "guidance", "steps", "model", "revision", "scores",
           "reason")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wanted:
    verdict: Verdict | None = None
    reason: str | None = None  # how the reason begins: "quality", or all of it
    label: str | None = None

    def accepts(self, row: dict[str, Any]) -> bool:
        if self.reason is not None and not (row["reason"] or "").startswith(self.reason):
            return False
        return self.label is None or row["label"] == self.label


def opened(store: Store, key: str) -> pq.ParquetFile | None:
    """A file of samples; None while its shard is not made."""
    file = store.file(key)
    return None if file is None else pq.ParquetFile(file)


def class_names(schema: pa.Schema, column: str = "label") -> list[str]:
    """The names of Hugging Face's ClassLabel in a schema; none where labels are their own names."""
    try:
        label = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"][column]
    except (ValueError, KeyError, TypeError):
        return []
    return [str(name) for name in label.get("names", [])] if isinstance(label, dict) else []


def sample(row: dict[str, Any], verdict: Verdict) -> dict[str, Any]:
    return {**row, "id": f"{row['index']}-{row['attempt']}", "verdict": verdict, "scores": json.loads(row["scores"])}


def rows(file: pq.ParquetFile) -> list[dict[str, Any]]:
    names = class_names(file.schema_arrow)
    there = [name for name in COLUMNS if name in file.schema_arrow.names]
    return [{**row, "label": names[row["label"]]} for row in file.read(columns=there).to_pylist()]


def files(root: str, plan: Plan, wanted: Wanted) -> list[tuple[str, Verdict]]:
    """The files to look into, shard by shard."""
    rejects = plan.rejects(root)
    every: list[tuple[str, Verdict]] = []
    for number, key in enumerate(plan.files(root)):
        if wanted.verdict != "dropped" and wanted.reason is None:
            every.append((key, "kept"))
        if wanted.verdict != "kept" and number < plan.generated:
            every.append((rejects[number], "dropped"))
    return every


def page(
    store: Store, root: str, wanted: Wanted, start: tuple[int, int], limit: int
) -> tuple[list[Any], tuple[int, int] | None]:
    """Samples from (file, row) on, and where the next page starts; None after the last.

    A page may hold fewer than `limit`, even none, though more follow: it looks into a bounded number of files.
    """
    plan = read_plan(store, root)
    every = files(root, plan, wanted) if plan else []
    found: list[dict[str, Any]] = []
    first, offset = start
    for number in range(first, min(first + FILES, len(every))):
        key, verdict = every[number]
        file = opened(store, key)
        for row, values in enumerate([] if file is None else rows(file)):
            if (number, row) < (first, offset) or not wanted.accepts(values):
                continue
            if len(found) == limit:
                return found, (number, row)
            found.append(sample(values, verdict))
    return found, (first + FILES, 0) if first + FILES < len(every) else None


def candidates(root: str, plan: Plan, index: int) -> Iterator[str]:
    """Where sample `index` may be: slots are dealt to shards in turn."""
    for number in (n for n in range(plan.shards) if index in plan.indices(n)):
        yield plan.data(root, number)
        if number < plan.generated:
            yield plan.rejects(root)[number]


def image(store: Store, root: str, index: int, attempt: int) -> bytes | None:
    """The PNG of one sample; None if there is no such sample."""
    plan = read_plan(store, root)
    for key in candidates(root, plan, index) if plan else ():
        if (file := opened(store, key)) is None:
            continue
        table = file.read(columns=["index", "attempt"])
        for row, values in enumerate(table.to_pylist()):
            if (values["index"], values["attempt"]) == (index, attempt):
                return picture(file, row)
    return None


def picture(file: pq.ParquetFile, row: int) -> bytes:
    """The image of a row, read from its row group alone."""
    for group in range(file.num_row_groups):
        size = file.metadata.row_group(group).num_rows
        if row < size:
            cell = file.read_row_group(group, columns=["image"]).column("image")[row].as_py()
            return bytes(cell["bytes"])
        row -= size
    raise IndexError(row)
