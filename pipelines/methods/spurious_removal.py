"""Spurious-feature removal: paint a class's causal part into pictures that look like another class.

Diffusion Driven Balancing (ICCV 2025, arXiv 2503.17226): a token for each class's causal part; the most typical pictures
of a class, where class and background agree; the object found by language, repainted as another class. Beyond the paper:
any number of classes; the token's loss is counted inside the object; the region is a square, so that it does not dictate
the shape; and each picture is repainted as its own class as often, so that "was repainted" says nothing of the class.
"""

from collections.abc import Sequence
from functools import cached_property

from pipelines.chance import derive
from pipelines.errors import SourceError
from pipelines.records import Item, Mask, Problem, Request, Slot
from pipelines.spec import SpuriousRemoval
from pipelines.tokens import Tokens
from pipelines.vision.segmentation import region
from pipelines.workbench import Workbench


class SpuriousRemovalMethod:
    def __init__(self, bench: Workbench, spec: SpuriousRemoval) -> None:
        self.bench, self.spec = bench, spec
        self.tokens = Tokens(bench, spec.superclass, spec.inversion)
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
        self.tokens.learned  # noqa: B018  (learned on first use)

    @cached_property
    def majority(self) -> dict[str, list[Item]]:
        """The most typical pictures of each class in which the object was found; the others are noted as skipped."""
        chosen: dict[str, list[Item]] = {}
        for label, ranked in self.bench.ranking.items():
            items = [item for item, _ in ranked[: self.spec.majority]]
            found = self.bench.objects(items, self.word)
            chosen[label] = [item for item, mask in zip(items, found, strict=True) if mask is not None]
            missing = [item for item, mask in zip(items, found, strict=True) if mask is None]
            self.skipped += [Problem(item.id, f"no {self.spec.superclass} found") for item in missing]
        return chosen

    def regions(self, items: Sequence[Item]) -> list[Mask | None]:
        """What is repainted in each image, None where no object was found."""
        found = self.bench.objects(items, self.word)
        return [None if mask is None else region(mask, self.spec.region, self.spec.grow) for mask in found]

    def requests(self, slots: Sequence[Slot], attempt: int) -> list[Request]:
        origins = [self.majority[slot.origin or slot.label] for slot in slots]
        items = [typical[slot.rank % len(typical)] for slot, typical in zip(slots, origins, strict=True)]
        images, regions = self.bench.images(items), self.regions(items)
        return [
            Request(
                index=slot.index,
                attempt=attempt,
                seed=derive(self.bench.spec.seed, "image", slot.index, attempt),
                label=slot.label,
                method=self.spec.type,
                prompt=self.tokens.prompt(slot.label),
                source=item,
                image=image,
                mask=mask,
                concept=self.tokens.address(slot.label),
                strength=self.spec.strength,
                guidance=self.spec.guidance,
                steps=self.spec.steps,
            )
            for slot, item, image, mask in zip(slots, items, images, regions, strict=True)
        ]
