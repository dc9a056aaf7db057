"""The samples of a published version, one at a time, as its manifest lists them and as people decided: of a folder, or in a
service's store."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import ExportError, StoreError
from pipelines.source.class_labels import class_names
from pipelines.store import keys
from pipelines.store.object_store import Store
from pipelines.version.browse import COLUMNS
from pipelines.version.plan import Plan, plan_of
from pipelines.version.verdicts import HumanVerdict, SampleKey, Verdicts, by_sample, key_of, samples_to

BATCH = 8  # rows in memory at a time
BUFFER = 2**22  # bytes of a column that are read at a time
TEXTS = (
    "group", "group_id", "origin", "source_id", "source_sha256", "object_id", "object_sha256", "concept", "lora", "revision"
)  # fmt: skip
KEY = ("index", "attempt")  # columns


@dataclass(frozen=True, slots=True)
class ExportedSample:
    """A sample of an export; without its image where images were not asked for."""

    row: dict[str, Any]
    classes: tuple[str, ...]
    decided: bool = False  # whether the export obeys people's verdicts
    verdict: HumanVerdict | None = None  # on this sample

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
        return {**columns, **texts, "label": self.label, "box": self.box or [], **self.decision}

    @property
    def decision(self) -> dict[str, str]:
        """What a person decided, who and when, and why the filters had dropped it, in an export that obeys verdicts."""
        if not self.decided:
            return {}
        verdict = self.verdict
        decided_at = datetime.fromtimestamp(verdict.at, UTC).isoformat(timespec="seconds") if verdict else ""
        return {
            "decision": verdict.decision if verdict else "",
            "decided_by": verdict.by if verdict else "",
            "decided_at": decided_at,
            "reason": self.row.get("reason") or "",
        }


@dataclass(frozen=True)
class PublishedVersion:
    """The data files of a version, by their keys in a store, and the verdicts that it is exported by: without any, as it was
    published."""

    store: Store
    files: tuple[str, ...]
    rejected: tuple[str, ...] = ()  # files of dropped candidates that may hold what people kept
    verdicts: Verdicts = field(default_factory=dict)

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
        """Every sample, in the order of the shards, then what is restored; with some columns alone, if they are given."""
        classes, decided = self.classes, bool(self.verdicts)
        if columns is not None and decided:
            columns = list(dict.fromkeys([*columns, *KEY]))
        for key in self.files:
            for batch in self.open(key).iter_batches(BATCH, columns=columns):
                for row in batch.to_pylist():
                    verdict = self.verdicts.get(key_of(row)) if decided else None
                    if verdict is None or verdict.decision == "keep":
                        yield ExportedSample(row, classes, decided, verdict)
        for row in self.restored_rows(columns):
            yield ExportedSample(row, classes, decided, self.verdicts[key_of(row)])

    def restored_rows(self, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """What the filters dropped and people kept. Row groups that hold none of it are not read."""
        kept = samples_to("keep", self.verdicts)
        for key in self.rejected:
            file = self.open(key)
            groups = [n for n in range(file.num_row_groups) if not kept.isdisjoint(sample_keys(file, n))]
            for batch in file.iter_batches(BATCH, row_groups=groups, columns=columns) if groups else ():
                yield from (row for row in batch.to_pylist() if key_of(row) in kept)

    @cached_property
    def left_out(self) -> int:
        """How many samples are left out since people dropped them. Raises ExportError for verdicts that are of none here."""
        published = {key for file in map(self.open, self.files) for key in sample_keys(file)} if self.verdicts else set()
        unknown = self.verdicts.keys() - published - set(self.restored)
        if unknown:
            index, attempt = min(unknown)
            raise ExportError(
                f"verdicts: {len(unknown)} of {len(self.verdicts)} are of samples that this version does not have, such as "
                f"'{index}-{attempt}'; give those of this version"
            )
        return len(samples_to("drop", self.verdicts))

    @cached_property
    def restored(self) -> list[SampleKey]:
        """Which samples are brought back since people kept them, though the filters had dropped them."""
        return [key_of(row) for row in self.restored_rows(KEY)]

    def count(self, *, boxed: bool = False) -> int:
        """How many samples there are, or how many of them have a box."""
        if boxed:
            return sum(1 for _ in self.boxed(["box"]))
        published = sum(int(self.open(key).metadata.num_rows) for key in self.files)
        return published - self.left_out + len(self.restored)

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


def sample_keys(file: pq.ParquetFile, group: int | None = None) -> list[SampleKey]:
    """Of a data file's rows, or those of a row group of it."""
    table = file.read(columns=KEY) if group is None else file.read_row_group(group, columns=KEY)
    return list(zip(table.column("index").to_pylist(), table.column("attempt").to_pylist(), strict=True))


def holding(paths: Iterable[str], plan: Plan | None, samples: Iterable[SampleKey]) -> list[str]:
    """The files of dropped candidates that may hold these samples, by their shards; all of them without a plan."""
    rejected, indices = [path for path in paths if path.startswith("rejected/")], {index for index, _ in samples}
    if plan is None or not indices:
        return rejected if indices else []
    shards = set(plan.generated_of(indices))
    return [path for path in rejected if keys.shard_of(path) in shards]


def published(store: Store, root: str = "", verdicts: Iterable[HumanVerdict] = ()) -> PublishedVersion:
    """A version by its root in a store, as people decided; without a root, the store is its folder. Raises ExportError
    before it is published."""
    prefix = f"{root}/" if root else ""
    manifest, plan = (key(root).removeprefix("/") for key in (keys.manifest, keys.plan))
    if not store.exists(manifest):
        raise ExportError("version: it is not published; wait for 'completed'")
    every = json.loads(store.get(manifest))["files"]
    files = [file for file in every if file["path"].startswith("data/")]
    if not files:
        raise ExportError("version: it holds no samples; there is nothing to export")
    listed = sorted((file["path"], file.get("key")) for file in files)
    decided = by_sample(verdicts)
    kept = samples_to("keep", decided)
    planned = plan_of(store.json(plan)) if kept and store.exists(plan) else None
    return PublishedVersion(
        store,
        tuple(prefix + path if not root or place is None else place for path, place in listed),
        tuple(prefix + path for path in sorted(holding((file["path"] for file in every), planned, kept))),
        decided,
    )
