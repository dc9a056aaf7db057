"""YOLO as Ultralytics reads it: `images/train/`; `labels/train/`, with a line "class x y width height" in shares of the
image, its middle first; and `data.yaml`."""

import io
from collections.abc import Iterator

import PIL.Image
import yaml

from pipelines.version.export.files import File
from pipelines.version.export.samples import ExportedSample, PublishedVersion

HEAD = "# Put real images into images/val, and their labels into labels/val: generated ones show nothing about a detector.\n"


def yolo(version: PublishedVersion) -> Iterator[File]:
    for sample in version.boxed():
        yield File.of(f"images/train/{sample.file_name}", sample.image)
        yield File.of(f"labels/train/{sample.key}.txt", line(sample).encode())
    facts = {"train": "images/train", "val": "images/val", "names": dict(enumerate(version.classes))}
    yield File.of("data.yaml", (HEAD + yaml.safe_dump(facts, sort_keys=False, allow_unicode=True)).encode())


def line(sample: ExportedSample) -> str:
    """The label of the one object of a sample that has a box."""
    with PIL.Image.open(io.BytesIO(sample.image)) as image:
        size = image.size
    left, top, width, height = sample.box or (0, 0, *size)
    middles = left + width / 2, top + height / 2
    shares = [value / side for pair in (middles, (width, height)) for value, side in zip(pair, size, strict=True)]
    return f"{sample.number} {' '.join(f'{share:.6f}' for share in shares)}\n"
