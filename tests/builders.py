"""What several tests work with: a small spec on the built-in source, its resources, candidates, and a stand-in engine."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from pipelines.engine.probe import Probe
from pipelines.engine.requests import RequestQueue
from pipelines.filters import Comparisons, Panel
from pipelines.learning.resources import Resources
from pipelines.progress import Silent
from pipelines.records import Candidate, Image, Mask, Request, Sample
from pipelines.spec import Machine, VersionSpec, parse
from pipelines.store.object_store import Store

SIDE = 32
CPU = Machine(device="cpu")


def document(**changes: Any) -> dict[str, Any]:
    """A spec as a user would write it. It needs no checkpoint: the resolution is given."""
    return {
        "name": "shoes",
        "source": {"type": "spurious", "train": 40, "validation": 16, "test": 16},
        "models": {"resolution": SIDE},
        "method": {"type": "text_to_image"},
        "amount": {"per_class": 5},
        "classifier": {"steps": 5, "batch": 8},
        **changes,
    }


def spec(**changes: Any) -> VersionSpec:
    return parse(document(**changes))


def open_resources(folder: Path, **changes: Any) -> Resources:
    return Resources(spec(**changes), Store.open(folder), Silent())


def noise(seed: int, side: int = SIDE) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def flat(value: int = 128, side: int = SIDE) -> Image:
    return np.full((side, side, 3), value, dtype=np.uint8)


def picture(seed: int = 0, side: int = SIDE) -> Image:
    """Soft spots of colour, without the grain that an autoencoder loses."""
    small = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return np.asarray(PIL.Image.fromarray(small).resize((side, side), PIL.Image.Resampling.BICUBIC))


def square(side: int = SIDE) -> Mask:
    """The middle half of an image."""
    mask = np.zeros((side, side), dtype=np.bool_)
    mask[side // 4 : side // 4 * 3, side // 4 : side // 4 * 3] = True
    return mask


def candidate(painted: Image, **changes: Any) -> Candidate:
    """A generated boot, made from nothing unless `changes` say otherwise."""
    plain = Request(index=0, attempt=0, seed=0, label="boot", method="text_to_image", prompt="a photo of a boot")
    return Candidate(replace(plain, **changes), painted)


def judge_shard(panel: Panel, candidates: Sequence[Candidate], comparisons: Comparisons | None = None) -> list[Sample]:
    """The samples of an attempt, in their order: of a shard's first, unless its comparisons are given."""
    samples = panel.judge(candidates)
    compared = iter((comparisons or panel.comparisons()).judge([sample for sample in samples if sample.verdict.kept]))
    return [next(compared) if sample.verdict.kept else sample for sample in samples]


class Painter:
    """Stands in for the engine, which has tests of its own: noise from the request's seed, or a blank where `spoiled`.

    Like the engine it takes requests a few at a time and finishes them in another order.
    """

    capacity = 4

    def __init__(self, spoiled: Callable[[Request], bool] = lambda request: False) -> None:
        self.spoiled = spoiled
        self.seen: list[tuple[int, int]] = []  # (index, attempt)

    def batches(self, queue: RequestQueue, probe: Probe | None = None) -> Iterator[list[Candidate]]:
        while batch := queue.take(self.capacity, wait=True):
            self.seen += [(request.index, request.attempt) for request in batch]
            yield [Candidate(r, flat() if self.spoiled(r) else noise(r.seed)) for r in reversed(batch)]
