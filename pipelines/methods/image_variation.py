"""Variations of real images: noised a little, or much, and denoised towards the class's own prompt.

DA-Fusion (ICLR 2024, arXiv 2302.07944): a token a class, learned from its images; strengths stacked, one drawn for each
image; the object, or all but the object, repainted alone where asked for. Without tokens and with one small strength it
is Real Guidance (ICLR 2023, arXiv 2210.07574).
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from pipelines.concepts import Concepts
from pipelines.errors import SourceError
from pipelines.records import Item, Mask, Problem, Request, Slot
from pipelines.spec import ImageVariation
from pipelines.vision.segmentation import region
from pipelines.workbench import Workbench


class ImageVariationMethod:
    def __init__(self, bench: Workbench, spec: ImageVariation) -> None:
        self.bench, self.spec = bench, spec
        self.concepts = Concepts(bench, spec)
        # Where everything may change, there is nothing to find.
        self.word = None if spec.repaint == "whole" else bench.superclass
        self.skipped: list[Problem] = []

    def learn(self) -> None:
        """Find the objects, learn the tokens, where asked for. Raises SourceError where nothing is found."""
        for label, items in self.pool.items():
            if not items:
                raise SourceError(
                    f"method.superclass: no {self.spec.superclass!r} was found in any image of class {label!r}; "
                    "choose another word, or repaint: whole"
                )
        self.concepts.learn()

    @cached_property
    def pool(self) -> dict[str, list[Item]]:
        """What is varied of each class: all its training images, and no others."""
        found = {}
        for label in self.bench.source.classes:
            found[label], missing = self.bench.showing(self.bench.source.of(label), self.word)
            self.skipped += missing
        return found

    def regions(self, items: Sequence[Item]) -> list[Mask | None]:
        """What is repainted in each image, None where no object was found."""
        found = self.bench.objects(items, self.word)
        if self.word is None:
            return found
        grown = [None if mask is None else region(mask, "mask", self.spec.grow) for mask in found]
        return grown if self.spec.repaint == "object" else [None if mask is None else ~mask for mask in grown]

    def requests(self, slots: Sequence[Slot], attempt: int) -> list[Request]:
        items = [self.pool[slot.label][slot.rank % len(self.pool[slot.label])] for slot in slots]
        return [
            self.concepts.request(
                slot, attempt, source=item, image=image, mask=mask, strength=self.strength(self.concepts.seed(slot, attempt))
            )
            for slot, item, image, mask in zip(slots, items, self.bench.images(items), self.regions(items), strict=True)
        ]

    def strength(self, seed: int) -> float:
        return float(np.random.default_rng(seed).choice(self.spec.strengths))
