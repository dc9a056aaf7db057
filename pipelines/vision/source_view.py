"""A view of a source for the models: its images at one resolution, the masks of their objects, and labelled examples."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipelines.records import Examples, Image, Item, Mask, Problem
from pipelines.source.source import Source
from pipelines.vision.models import Models

BATCH = 64  # images segmented at a time


class SourceView:
    """Masks are kept, packed to eight pixels a byte, for as long as the view is."""

    def __init__(self, source: Source, models: Models) -> None:
        self.source, self.models = source, models
        self.masks: dict[tuple[str, str], NDArray[np.uint8] | None] = {}  # by (item, word)

    @property
    def resolution(self) -> int:
        return self.models.resolution

    def images(self, items: Sequence[Item]) -> list[Image]:
        """uint8 (resolution, resolution, 3) each."""
        return [self.source.image(item, self.resolution) for item in items]

    def examples(self, split: str) -> Examples:
        """All images of a split, labelled."""
        items = self.source.splits[split]
        return Examples(self.images(items), [item.label for item in items], [item.group for item in items])

    @cached_property
    def validation(self) -> Examples:
        """The images that checkpoints are chosen on, and thresholds calibrated."""
        return self.examples("validation")

    def segment(self, images: Sequence[Image], word: str) -> list[Mask | None]:
        """The mask of what `word` names in each image, None where it is not detected."""
        batches = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
        return [mask for batch in batches for mask in self.models.segmenter.segment(batch, word)]

    def object_masks(self, items: Sequence[Item], word: str | None) -> list[Mask | None]:
        """Masks of `word` in source images, each segmented once; without a word, masks of whole images."""
        shape = self.resolution, self.resolution
        if word is None:
            return [np.ones(shape, dtype=np.bool_) for _ in items]
        new = [item for item in items if (item.id, word) not in self.masks]
        for item, mask in zip(new, self.segment(self.images(new), word), strict=True):
            self.masks[item.id, word] = None if mask is None else np.packbits(mask)
        packed = [self.masks[item.id, word] for item in items]
        return [None if bits is None else np.unpackbits(bits).astype(np.bool_).reshape(shape) for bits in packed]

    def with_object(self, items: Sequence[Item], word: str | None) -> tuple[list[Item], list[Problem]]:
        """The items in which `word` is detected, and a problem for each of the others."""
        pairs = list(zip(items, self.object_masks(items, word), strict=True))
        missing = [Problem(item.id, f"no {word} found") for item, mask in pairs if mask is None]
        return [item for item, mask in pairs if mask is not None], missing
