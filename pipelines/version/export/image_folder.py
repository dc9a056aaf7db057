"""An image folder, `train/CLASS/FILE`, as torchvision reads it; with a `metadata.jsonl` for `datasets`' imagefolder."""

import json
from collections.abc import Iterator

from pipelines.version.browse import COLUMNS
from pipelines.version.export.files import File
from pipelines.version.export.names import folder_name
from pipelines.version.export.samples import PublishedVersion


def image_folder(version: PublishedVersion) -> Iterator[File]:
    for sample in version.samples():
        yield File.of(f"train/{folder_name(sample.label)}/{sample.file_name}", sample.image)
    yield File("train/metadata.jsonl", lambda: metadata(version))


def metadata(version: PublishedVersion) -> Iterator[bytes]:
    """A line for each image: label, group, box and provenance."""
    columns = ["image.path", *(name for name in COLUMNS if name in version.schema.names)]
    for sample in version.samples(columns):
        place = f"{folder_name(sample.label)}/{sample.file_name}"
        yield json.dumps({"file_name": place, **sample.provenance}, ensure_ascii=False).encode() + b"\n"
