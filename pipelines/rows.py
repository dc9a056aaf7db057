"""Samples as rows of Parquet that `datasets.load_dataset` understands: image, label, group and where each came from."""

import io
import json
from collections.abc import Collection, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import ClassLabel, Features, Image, Value

from pipelines.browse import class_names
from pipelines.plan import Plan
from pipelines.records import Sample
from pipelines.store import Store
from pipelines.synthetic import png
from pipelines.workbench import Workbench


def features(classes: Sequence[str]) -> Features:
    """The columns, in Hugging Face's terms."""
    return Features(
        {
            "image": Image(),
            "label": ClassLabel(names=list(classes)),
            "group": Value("string"),
            "index": Value("int64"),
            "attempt": Value("int32"),
            "seed": Value("int64"),
            "origin": Value("string"),
            "source_id": Value("string"),
            "source_sha256": Value("string"),
            "object_id": Value("string"),
            "object_sha256": Value("string"),
            "method": Value("string"),
            "prompt": Value("string"),
            "concept": Value("string"),
            "lora": Value("string"),
            "strength": Value("float32"),
            "guidance": Value("float32"),
            "steps": Value("int32"),
            "model": Value("string"),
            "revision": Value("string"),
            "scores": Value("string"),
            "reason": Value("string"),
        }
    )


def row(sample: Sample, bench: Workbench) -> dict[str, Any]:
    """One sample. Its label is the class that was painted; its group is the source image's, if it started from that."""
    request = sample.candidate.request
    source = request.source
    return {
        "image": {
            "bytes": png(sample.candidate.image, synthetic=True),
            "path": f"{request.index:08d}-{request.attempt}.png",
        },
        "label": bench.source.classes.index(request.label),
        "group": source.group if source and request.image is not None else None,
        "index": request.index,
        "attempt": request.attempt,
        "seed": request.seed,
        "origin": source.label if source else None,
        "source_id": source.id if source else None,
        "source_sha256": source.sha256 if source else None,
        "object_id": request.other.id if request.other else None,
        "object_sha256": request.other.sha256 if request.other else None,
        "method": request.method,
        "prompt": request.prompt,
        "concept": request.concept,
        "lora": request.lora,
        "strength": request.strength,
        "guidance": request.guidance,
        "steps": request.steps,
        "model": bench.spec.models.text_to_image,
        "revision": bench.model.revision,
        "scores": json.dumps(sample.verdict.scores, sort_keys=True),
        "reason": sample.verdict.reason,
    }


def parquet(samples: Sequence[Sample], bench: Workbench) -> bytes:
    """A Parquet file of samples. Same samples, same bytes."""
    return packed([row(sample, bench) for sample in samples], bench.source.classes)


def without(data: bytes, gone: Collection[int], classes: Sequence[str]) -> bytes:
    """Such a file without the samples of these indices, each label as its place in `classes`."""
    table = pq.read_table(io.BytesIO(data))
    names = class_names(table.schema)
    left = [each for each in table.to_pylist() if each["index"] not in gone]
    return packed([{**each, "label": classes.index(names[each["label"]])} for each in left], classes)


def packed(found: Sequence[dict[str, Any]], classes: Sequence[str]) -> bytes:
    table = pa.Table.from_pylist(list(found), features(classes).arrow_schema)
    data = io.BytesIO()
    with pq.ParquetWriter(data, table.schema, compression="zstd") as writer:
        if len(table):  # datasets cannot read a row group without rows
            writer.write_table(table, row_group_size=100)
    return data.getvalue()


def read(data: bytes) -> list[dict[str, Any]]:
    """The rows of such a file; `image` as its encoded bytes."""
    found: list[dict[str, Any]] = pq.read_table(io.BytesIO(data)).to_pylist()
    return [{**each, "image": each["image"]["bytes"]} for each in found]


def column(data: bytes, name: str) -> list[Any]:
    """One column of such a file."""
    found: list[Any] = pq.read_table(io.BytesIO(data), columns=[name]).column(name).to_pylist()
    return found


def read_shards(store: Store, root: str, plan: Plan, *, rejected: bool = False) -> list[dict[str, Any]]:
    """The kept, or else the rejected, rows of all shards of a version, in their order."""
    keys = plan.rejects(root) if rejected else plan.files(root)
    return [row for key in keys for row in read(store.get(key))]
