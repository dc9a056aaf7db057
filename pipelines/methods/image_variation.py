"""Variations of real images: noised a little, or much, and denoised towards the class's own prompt.

DA-Fusion (ICLR 2024, arXiv 2302.07944): a token a class, learned from its images; strengths stacked, one drawn for each
image; the object, or all but the object, repainted alone where asked for. Without tokens and with one small strength it
is Real Guidance (ICLR 2023, arXiv 2210.07574).
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from pipelines.chance import derive
from pipelines.errors import SourceError
from pipelines.records import Item, Mask, Problem, Request, Slot
from pipelines.spec import ImageVariation
from pipelines.tokens import Tokens
from pipelines.vision.segmentation import region
from pipelines.workbench import Workbench


class ImageVariationMethod:
    def __init__(self, bench: Workbench, spec: ImageVariation) -> None:
        self.bench, self.spec = bench, spec
        self.tokens = Tokens(bench, spec.superclass or "", spec.inversion)
        # Where everything may change, there is nothing to find.
        self.word = None if spec.repaint == "whole" else spec.superclass
        self.skipped: list[Problem] = []

    def learn(self) -> None:
        """Find the objects, learn the tokens, where asked for. Raises SourceError where nothing is found."""
        for label, items in self.pool.items():
            if not items:
                raise SourceError(
                    f"method.superclass: no {self.spec.superclass!r} was found in any image of class {label!r}; "
                    "choose another word, or repaint: whole"
                )
        self.tokens.learned  # noqa: B018  (learned on first use)

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
        seeds = [derive(self.bench.spec.seed, "image", slot.index, attempt) for slot in slots]
        return [
            Request(
                index=slot.index,
                attempt=attempt,
                seed=seed,
                label=slot.label,
                method=self.spec.type,
                prompt=self.tokens.prompt(slot.label),
                source=item,
                image=image,
                mask=mask,
                concept=self.tokens.address(slot.label),
                strength=float(np.random.default_rng(seed).choice(self.spec.strengths)),
                guidance=self.spec.guidance,
                steps=self.spec.steps,
            )
            for slot, seed, item, image, mask in zip(
                slots, seeds, items, self.bench.images(items), self.regions(items), strict=True
            )
        ]
