"""WebDataset: for each sample KEY.png, KEY.cls (the number of its class) and KEY.json (label, group, box and provenance)."""

import json
from collections.abc import Iterator

from pipelines.version.export.files import File
from pipelines.version.export.samples import PublishedVersion


def webdataset(version: PublishedVersion) -> Iterator[File]:
    """The members of the shards; the files of a sample side by side."""
    for sample in version.samples():
        yield File.of(f"train/{sample.file_name}", sample.image)
        yield File.of(f"train/{sample.key}.cls", str(sample.number).encode())
        yield File.of(f"train/{sample.key}.json", json.dumps(sample.provenance, ensure_ascii=False).encode())
