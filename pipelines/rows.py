"""Samples as rows of Parquet that `datasets.load_dataset` understands: image, label, group and where each came from."""

import io
import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import ClassLabel, Features, Image, Value

from pipelines import paths
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
    table = pa.Table.from_pylist([row(sample, bench) for sample in samples], features(bench.source.classes).arrow_schema)
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


def read_shards(store: Store, root: str, shards: int, *, rejected: bool = False) -> list[dict[str, Any]]:
    """The kept, or else the rejected, rows of all shards of a version, in their order."""
    key = paths.rejected if rejected else paths.data
    return [row for number in range(shards) for row in read(store.get(key(root, number, shards)))]
