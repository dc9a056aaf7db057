"""Cheaply rendered images for benchmarks of size alone: soft colours under one grain, JPEGs of 512 pixels."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from pipelines import parallel
from pipelines.progress import Stage

SIDE = 512
CLASSES = 10
BATCH = 100  # images that a process renders at a time


@cache
def grain() -> NDArray[np.int16]:
    return np.random.default_rng(0).integers(-12, 13, (SIDE, SIDE, 3), dtype=np.int16)


def rendered(number: int) -> PIL.Image.Image:
    """The image of a number: always the same, and no other's."""
    colours = np.random.default_rng(number).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    soft = np.asarray(PIL.Image.fromarray(colours).resize((SIDE, SIDE), PIL.Image.Resampling.BILINEAR), np.int16)
    return PIL.Image.fromarray((soft + grain()).clip(0, 255).astype(np.uint8))


def write(root: str, numbers: range, done: Stage) -> None:
    for number in numbers:
        folder = Path(root) / f"rendered-{number % CLASSES}"
        folder.mkdir(parents=True, exist_ok=True)
        rendered(number).save(folder / f"{number:07d}.jpg", quality=85)


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
