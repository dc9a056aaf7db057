"""Versions of the built-in world whose samples are drawn by its renderer: clean ones, and ones with a fault planted."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from pipelines.builtin.checkpoints import resolve
from pipelines.progress import SILENT
from pipelines.quality.assess import assess
from pipelines.quality.comparison import Comparison
from pipelines.quality.features import Facts, Features, features
from pipelines.records import Image
from pipelines.source.readers.builtin import open_builtin
from pipelines.spec import FewShotSource, LongTailSource, SpuriousSource
from pipelines.vision.clip import Clip

COUNTS = {"generated": 0, "reasons": {}}
Alteration = Callable[[Image], Image]


@cache
def clip() -> Clip:
    return Clip(resolve("builtin", "clip"), "cpu")


def measured(images: Iterable[tuple[Facts, Image]]) -> Features:
    return features(images, clip(), SILENT.stage("", 0))


@dataclass(frozen=True)
class World:
    """A source, and as many rendered samples of each class as are asked for, of garments that it does not use."""

    comparison: Comparison
    pixels: Sequence[Image]  # of the samples

    def changed(self, rows: NDArray[np.int64], images: Sequence[Image]) -> Comparison:
        """With other pixels in some samples, whose labels stay."""
        facts = [self.comparison.measured.facts[row] for row in rows]
        new = measured(zip(facts, images, strict=True))
        return replace(self.comparison, measured=put(self.comparison.measured, rows, new))

    def altered(self, rows: NDArray[np.int64], alteration: Alteration) -> Comparison:
        return self.changed(rows, [alteration(self.pixels[row]) for row in rows])

    def some(self, count: int) -> NDArray[np.int64]:
        """So many rows of samples, drawn at random."""
        return np.random.default_rng(7).permutation(len(self.pixels))[:count]


def put(every: Features, rows: NDArray[np.int64], new: Features) -> Features:
    """The features with those of some rows replaced."""
    order = np.arange(len(every))
    order[rows] = len(every) + np.arange(len(rows))
    return every.followed_by(new)[order]


def world(spec: FewShotSource | LongTailSource | SpuriousSource, per_class: int) -> World:
    source = open_builtin(spec)
    classes = list(source.classes)

    def read(split: str) -> Features:
        return measured((Facts(i.id, classes.index(i.label), i.group), source.read(i)) for i in source.splits[split])

    items = [item for label in classes for item in source.of(label, "reserve")[:per_class]]
    pixels = [source.read(item) for item in items]
    facts = [Facts(f"{n}-0", classes.index(item.label), None) for n, item in enumerate(items)]
    present = Counter(item.label for item in items)
    held_out = read("validation").followed_by(read("test"))
    samples = measured(zip(facts, pixels, strict=True))
    return World(Comparison(classes, samples, read("train"), held_out, present, present, seed=0), pixels)


def sections(comparison: Comparison) -> dict[str, Any]:
    return assess(comparison, COUNTS)


def blurred(image: Image) -> Image:
    return np.asarray(gaussian_filter(image, (1, 1, 0)))


def tinted(image: Image) -> Image:
    return np.clip(image * np.array([1.25, 1, 0.75]), 0, 255).astype(np.uint8)


def grainy(image: Image) -> Image:
    grain = np.random.default_rng(image.astype(int).sum()).normal(0, 4, image.shape)
    return np.clip(image + grain, 0, 255).astype(np.uint8)
