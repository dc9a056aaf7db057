"""Samples as rows of Parquet that `datasets.load_dataset` understands: image, label, group and where each came from."""

import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import ClassLabel, Features, Image, List, Value

from pipelines.errors import StoreError
from pipelines.learning.resources import Resources
from pipelines.progress import step
from pipelines.records import Image as Pixels
from pipelines.records import Mask, Sample
from pipelines.source.class_labels import class_names
from pipelines.source.encode import encode as encode_image
from pipelines.store.object_store import Store
from pipelines.version.files import Kind, all_stored
from pipelines.version.mask_column import box_of, encode_mask
from pipelines.version.plan import Carried, Plan
from pipelines.version.verdicts import key_of
from pipelines.vision.object_masks import object_mask

THREADS = min(8, os.cpu_count() or 1)  # and images in memory at a time
BATCH = 8  # rows that are written to a column at a time


def features(classes: Sequence[str]) -> Features:
    """The columns, in Hugging Face's terms."""
    return Features(
        {
            "image": Image(),
            "label": ClassLabel(names=list(classes)),
            "group": Value("string"),
            "box": List(Value("int32")),
            "mask": Image(),
            "index": Value("int64"),
            "attempt": Value("int32"),
            "group_id": Value("string"),
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


def row(sample: Sample, image: bytes, mask: Mask | None, resources: Resources) -> dict[str, Any]:
    """One sample, with its encoded image, and the mask of its object there. Its label is the class that was painted; its
    group is the source image's, if it started from that."""
    request = sample.candidate.request
    source = request.source
    name = f"{request.index:08d}-{request.attempt}"
    model, revision = resources.generator(request.checkpoint)
    return {
        "image": {"bytes": image, "path": f"{name}.{resources.spec.encoding.type}"},
        "label": resources.source.classes.index(request.label),
        "group": source.group if source and request.image is not None else None,
        "box": None if mask is None else box_of(mask),
        "mask": None if mask is None else {"bytes": encode_mask(mask), "path": f"{name}.mask.png"},
        "index": request.index,
        "attempt": request.attempt,
        "group_id": request.group_id,
        "seed": request.seed,
        "origin": source.label if source else None,
        "source_id": source.id if source else None,
        "source_sha256": source.sha256 if source else None,
        "object_id": request.partner.id if request.partner else None,
        "object_sha256": request.partner.sha256 if request.partner else None,
        "method": request.method,
        "prompt": request.prompt,
        "concept": request.concept,
        "lora": request.lora,
        "strength": request.strength,
        "guidance": request.guidance,
        "steps": request.steps,
        "model": model,
        "revision": revision,
        "scores": json.dumps(sample.verdict.scores, sort_keys=True),
        "reason": sample.verdict.reason,
    }


def encode(samples: Sequence[Sample], resources: Resources) -> bytes:
    """A Parquet file of samples. Same samples, same bytes."""
    images = zip(samples, encoded_images(samples, resources), strict=True)
    table = [row(sample, image, mask, resources) for sample, (image, mask) in images]
    return write_table(table, resources.source.classes)


def encoded_images(samples: Sequence[Sample], resources: Resources) -> Iterator[tuple[bytes, Mask | None]]:
    """The images as they are stored, and the masks of their objects, a few at a time in threads: a large image takes longer
    to compress than to generate."""
    view, method = resources.view, resources.spec.method
    encode_one: Callable[[Pixels], bytes] = partial(encode_image, encoding=resources.spec.encoding)
    with ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, len(samples), THREADS):
            step()
            part = [sample.candidate for sample in samples[start : start + THREADS]]
            images = [view.finished(candidate) for candidate in part]
            regions = [view.object_region(candidate, image) for candidate, image in zip(part, images, strict=True)]
            masks = [object_mask(region, method) for region in regions]
            yield from zip(pool.map(encode_one, images), masks, strict=True)


def carried(data: bytes, part: Carried, classes: Sequence[str]) -> bytes:
    """A Parquet file of the samples that are carried of another, each label as its place in `classes`. A candidate that is
    restored is a sample from now on: there is no reason against it any more."""
    table = pq.read_table(io.BytesIO(data))
    names, gone, restored = class_names(table.schema), frozenset(part.without), frozenset(part.restored)
    rows = [row for row in table.to_pylist() if (key_of(row) in restored if restored else row["index"] not in gone)]
    return write_table([{**row, "label": classes.index(names[row["label"]]), "reason": None} for row in rows], classes)


def write_table(rows: Sequence[dict[str, Any]], classes: Sequence[str]) -> bytes:
    table = pa.Table.from_pylist(list(rows), features(classes).arrow_schema)
    data = io.BytesIO()
    # A page ends with the batch by which it is full: of large batches it would be a whole row group, and be read as one.
    with pq.ParquetWriter(data, table.schema, compression="zstd", write_batch_size=BATCH) as writer:
        if len(table):  # datasets cannot read a row group without rows
            writer.write_table(table, row_group_size=100)
    return data.getvalue()


def read(data: bytes) -> list[dict[str, Any]]:
    """The rows of such a file; `image` as its encoded bytes."""
    rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(data)).to_pylist()
    return [{**row, "image": row["image"]["bytes"]} for row in rows]


def column(store: Store, key: str, name: str) -> list[Any]:
    """One column of such a file, whose other columns are not fetched. Raises StoreError when there is none."""
    file = store.file(key)
    if file is None:
        raise StoreError(f"{key}: no such object, though a report names it")
    values: list[Any] = pq.ParquetFile(file).read(columns=[name]).column(name).to_pylist()
    return values


def read_shards(store: Store, root: str, plan: Plan, *, rejected: bool = False) -> list[dict[str, Any]]:
    """The kept, or else the rejected, rows of all shards of a version, in their order."""
    kind: Kind = "rejected" if rejected else "data"
    return [row for files in all_stored(store, root, plan) if kind in files for row in read(store.get(files[kind]))]
