"""Spurious-feature removal: paint a class's causal part into pictures that look like another class.

Diffusion Driven Balancing (ICCV 2025, arXiv 2503.17226): a token for each class's causal part; the most typical pictures
of a class, where class and background agree; the object found by language, repainted as another class. Beyond the paper:
any number of classes; the token's loss is counted inside the object; the region is a square, so that it does not dictate
the shape; each picture is repainted as its own class as often, so that "was repainted" says nothing of the class; and
real objects of the class can be grafted in, so that what no token can say is there, too.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from pipelines.chance import derive
from pipelines.concepts import Concepts
from pipelines.errors import SourceError
from pipelines.records import Graft, Image, Item, Mask, Problem, Request, Slot
from pipelines.spec import SpuriousRemoval
from pipelines.vision.segmentation import region
from pipelines.workbench import Workbench


def planted(item: Item, image: Image, mask: Mask, ground: Image, old: Mask) -> Graft:
    """The object of one picture where the object of another, `old`, has its middle, as far inside as it goes."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    shape = mask[part].shape
    corner = []
    for axis, length in enumerate(shape):
        there = np.flatnonzero(old.any(axis=1 - axis))
        middle = (int(there[0]) + int(there[-1]) + 1) // 2
        corner.append(min(max(0, middle - length // 2), old.shape[axis] - length))
    place = np.s_[corner[0] : corner[0] + shape[0], corner[1] : corner[1] + shape[1]]
    picture, where = ground.copy(), np.zeros_like(old)
    where[place] = mask[part]
    picture[where] = image[mask]
    return Graft(item, picture, where)


class SpuriousRemovalMethod:
    def __init__(self, bench: Workbench, spec: SpuriousRemoval) -> None:
        self.bench, self.spec = bench, spec
        self.concepts = Concepts(bench, spec)
        # Where everything is repainted, there is nothing to find.
        self.word = None if spec.region == "whole" else spec.superclass
        self.skipped: list[Problem] = []

    def learn(self) -> None:
        """Train the judge, find the objects, learn a token a class. Raises SourceError where nothing is found."""
        for label in self.bench.source.classes:
            if not self.majority[label]:
                raise SourceError(
                    f"method.superclass: no {self.spec.superclass!r} was found in any image of class {label!r}; "
                    "choose another word, or region: whole"
                )
        self.concepts.learn()

    @cached_property
    def majority(self) -> dict[str, list[Item]]:
        """The most typical pictures of each class in which the object was found; the others are noted as skipped."""
        chosen: dict[str, list[Item]] = {}
        for label, ranked in self.bench.ranking.items():
            chosen[label], missing = self.bench.showing([item for item, _ in ranked[: self.spec.majority]], self.word)
            self.skipped += missing
        return chosen

    def regions(self, items: Sequence[Item]) -> list[Mask | None]:
        """What is repainted in each image, None where no object was found."""
        found = self.bench.objects(items, self.word)
        return [None if mask is None else region(mask, self.spec.region, self.spec.grow) for mask in found]

    def requests(self, slots: Sequence[Slot], attempt: int) -> list[Request]:
        both = self.spec.objects == "both"
        origins = [self.majority[slot.origin or slot.label] for slot in slots]
        turns = [slot.rank // 2 if both else slot.rank for slot in slots]
        items = [typical[turn % len(typical)] for turn, typical in zip(turns, origins, strict=True)]
        made = [
            self.concepts.request(slot, attempt, source=item, image=image, mask=mask, strength=self.spec.strength)
            for slot, item, image, mask in zip(slots, items, self.bench.images(items), self.regions(items), strict=True)
        ]
        real = [self.spec.objects == "real" or (both and slot.rank % 2 == 1) for slot in slots]
        return [self.grafted(each) if graft else each for each, graft in zip(made, real, strict=True)]

    def grafted(self, request: Request) -> Request:
        """The same picture with a real object of the class in it, and what was there painted over.

        All noise: a trace of the picture, here, would be one of the object that has to go.
        """
        source, image = request.source, request.image
        assert source is not None
        assert image is not None
        donors = [item for item in self.majority[request.label] if item != source] or [source]
        item = donors[derive(request.seed, "donor") % len(donors)]
        old, new = self.bench.objects([source, item], self.word)
        assert old is not None
        assert new is not None
        graft = planted(item, self.bench.images([item])[0], new, image, old)
        mask = region(old, "mask", self.spec.grow) | region(graft.mask, "mask", self.spec.grow)
        return replace(request, mask=mask, graft=graft, strength=1.0)
