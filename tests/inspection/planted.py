"""Folders of built-in images with faults planted in them."""

import io
from pathlib import Path

import numpy as np
import PIL.Image

from pipelines.inspection.embedder import open_embedder
from pipelines.inspection.findings import Finding, Inspection
from pipelines.inspection.inspect import inspect
from pipelines.progress import SILENT
from pipelines.source.open import open_source
from pipelines.source.source import Source
from pipelines.spec import FewShotSource, FolderSource, VersionSpec


def clean(count: int) -> Source:
    """So many training images of two classes that the bundled CLIP tells apart, and some to validate and test on."""
    classes = ("trousers", "sneaker")
    return open_source(FewShotSource(type="few-shot", classes=classes, shots=count, validation=20, test=40))


def written(root: Path, source: Source) -> Path:
    for split in ("train", "validation", "test"):
        for item in source.splits[split]:
            file = root / item.id
            file.parent.mkdir(parents=True, exist_ok=True)
            PIL.Image.fromarray(source.read(item)).save(file)
    return root


def reencoded(file: Path, scale: float = 0.9, quality: int = 80) -> bytes:
    """The picture of a file as JPEG, slightly smaller."""
    data = io.BytesIO()
    with PIL.Image.open(file) as picture:
        size = round(picture.width * scale), round(picture.height * scale)
        picture.resize(size, PIL.Image.Resampling.BICUBIC).save(data, "JPEG", quality=quality)
    return data.getvalue()


def grey(path: Path, level: int) -> None:
    PIL.Image.fromarray(np.full((64, 64, 3), level, np.uint8)).save(path)


def swapped(root: Path, share: float) -> set[str]:
    """Move this share of each class's training images to the other class. Returns their ids."""
    folders = sorted((root / "train").iterdir())
    files = [sorted(folder.iterdir()) for folder in folders]
    moved = set()
    for own, other in ((0, 1), (1, 0)):
        for file in files[own][: round(share * len(files[own]))]:
            target = folders[other] / f"moved-{file.name}"
            file.rename(target)
            moved.add(str(target.relative_to(root)))
    return moved


def opened(root: Path) -> Source:
    return open_source(FolderSource(type="folder", path=str(root), max_problems=1))


def inspected(source: Source, spec: VersionSpec | None = None) -> Inspection:
    return inspect(source, open_embedder("builtin", "cpu"), SILENT, name="shoes", checkpoint="builtin", spec=spec)


def ids(findings: list[Finding]) -> list[set[str]]:
    return [{one.item.id for one in finding.images} for finding in findings]
