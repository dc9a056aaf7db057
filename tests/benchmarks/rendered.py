"""Cheaply rendered images for benchmarks of size alone: soft colours under one grain, JPEGs of 512 pixels. Ten files in a
row are one picture, and differ after its end."""

import io
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from pipelines import parallel
from pipelines.progress import Stage

SIDE = 512
CLASSES = 10
COPIES = 10  # files of a picture
BATCH = 100  # files that a process writes at a time


@cache
def grain() -> NDArray[np.int16]:
    return np.random.default_rng(0).integers(-12, 13, (SIDE, SIDE, 3), dtype=np.int16)


@lru_cache(1)
def rendered(number: int) -> bytes:
    """The picture of a number: always the same, and no other's."""
    colours = np.random.default_rng(number).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    soft = np.asarray(PIL.Image.fromarray(colours).resize((SIDE, SIDE), PIL.Image.Resampling.BILINEAR), np.int16)
    data = io.BytesIO()
    PIL.Image.fromarray((soft + grain()).clip(0, 255).astype(np.uint8)).save(data, "JPEG", quality=85)
    return data.getvalue()


def write(root: str, numbers: range, done: Stage) -> None:
    for number in numbers:
        folder = Path(root) / f"rendered-{number % CLASSES}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:07d}.jpg").write_bytes(rendered(number // COPIES) + number.to_bytes(8))


def write_all(root: Path, count: int) -> None:
    """A folder of so many images in ten classes, written once."""
    complete = root / ".complete"
    if complete.exists():
        return
    starts = range(0, count, BATCH)
    calls: Iterator[tuple[str, range]] = ((str(root), range(n, min(n + BATCH, count))) for n in starts)
    for _ in parallel.stream(write, calls, parallel.cores()):
        pass
    complete.touch()
