"""What a data file holds, as its shard's report says it, so that finalizing opens none: sums of scores, the revisions of
what generated the images, and thumbnails for the contact sheet."""

import base64
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import fsum
from typing import Any, TypeVar

import numpy as np
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.records import Image
from pipelines.report.figures import LARGEST, shrunk
from pipelines.source.decode import decode

T = TypeVar("T")
SHEET = 64  # images on the contact sheet
COLUMNS = ["image", "label", "index", "model", "revision", "scores"]
ScoreSums = dict[str, tuple[float, int]]  # of each score: the sum, and how many samples have it


def in_turn(groups: Sequence[Sequence[T]], count: int) -> list[T]:
    """The first of each group, then the second of each, and so on: `count` at most."""
    places = sorted((place, number) for number, group in enumerate(groups) for place in range(len(group)))
    return [groups[number][place] for place, number in places[:count]]


def score_sums(scores: Iterable[str]) -> ScoreSums:
    """Of samples' scores, each as JSON text."""
    values: defaultdict[str, list[float]] = defaultdict(list)
    for text in scores:
        for name, value in json.loads(text).items():
            values[name].append(value)
    return {name: (fsum(own), len(own)) for name, own in sorted(values.items())}


def thumbnail_count(number: int, shards: int) -> int:
    """How many thumbnails the report of a shard has: as many in all as a contact sheet takes, of the first shards."""
    return -(-SHEET // min(shards, SHEET)) if number < SHEET else 0


def thumbnails(samples: pa.Table, number: int, shards: int) -> list[dict[str, Any]]:
    """Some samples of a shard in small, its classes in turn, from another class on in each shard."""
    by_class: defaultdict[int, list[int]] = defaultdict(list)
    for row, label in enumerate(samples.column("label").to_pylist()):
        by_class[label].append(row)
    groups = [by_class[label] for label in sorted(by_class)]
    first = number % len(groups) if groups else 0
    chosen = in_turn(groups[first:] + groups[:first], thumbnail_count(number, shards))
    indices, images = samples.column("index"), samples.column("image")
    return [{"index": indices[row].as_py(), "image": thumbnail(images[row].as_py()["bytes"])} for row in chosen]


def thumbnail(image: bytes) -> str:
    """An encoded image as a JPEG of LARGEST pixels a side at most, in base64."""
    data = io.BytesIO()
    small = shrunk(decode(image, allow_synthetic=True), LARGEST)
    PIL.Image.fromarray(small).save(data, "JPEG", quality=95, subsampling="4:4:4")
    return base64.b64encode(data.getvalue()).decode()


def sheet(reports: Sequence[dict[str, Any]]) -> list[Image]:
    """The images of the contact sheet, by the shards' reports: the shards in turn, then in the order of their index."""
    chosen = in_turn([report["thumbnails"] for report in reports], SHEET)
    encoded = [base64.b64decode(each["image"]) for each in sorted(chosen, key=lambda each: each["index"])]
    return [np.asarray(PIL.Image.open(io.BytesIO(data))) for data in encoded]


def revision(data: bytes) -> str | None:
    """Of what generated the images of a file; None if there are none, or it is unknown."""
    column = pq.read_table(pa.BufferReader(data), columns=["revision"]).column("revision").to_pylist()
    return next((value for value in column if value), None)


def revisions(samples: pa.Table) -> dict[str, str]:
    """Of the checkpoints that generated the samples of a file, by their names, those that are known."""
    named = zip(samples.column("model").to_pylist(), samples.column("revision").to_pylist(), strict=True)
    return {model: own for model, own in sorted(set(named), key=str) if own}


def data_facts(data: bytes, number: int, shards: int) -> dict[str, Any]:
    """What a shard's report says of its data file. `number` is the shard's, of so many."""
    samples = pq.read_table(pa.BufferReader(data), columns=COLUMNS)
    return {
        "scores": score_sums(samples.column("scores").to_pylist()),
        "revision": revision(data),
        "revisions": revisions(samples),
        "thumbnails": thumbnails(samples, number, shards),
    }
