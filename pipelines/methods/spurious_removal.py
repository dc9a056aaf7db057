"""Spurious-feature removal: paint a class's causal part into pictures that look like another class.

Diffusion Driven Balancing (ICCV 2025, arXiv 2503.17226): a token for each class's causal part; the most typical pictures
of a class, where class and background agree; the object found by language, repainted as another class. Beyond the paper:
any number of classes; the token's loss is counted inside the object; the region is a square, so that it does not dictate
the shape; each picture is repainted as its own class as often, so that traces of repainting do not predict the class; and
real objects of the class can be grafted in, for what no token can express.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import PIL.Image

from pipelines.chance import derive
from pipelines.learning.concepts import Concepts
from pipelines.learning.resources import Resources
from pipelines.records import FramedImage, Graft, Image, Item, Mask, PlannedImage, Problem, Request
from pipelines.regions import bounds, region
from pipelines.source.frames import CONTEXT, moved
from pipelines.spec import SpuriousRemoval


def graft(item: Item, image: Image, mask: Mask, ground: Image, old: Mask, scale: float = 1.0) -> Graft:
    """The masked object of an image, `scale` times as large, pasted into `ground` around the centre of its object `old`.

    It is moved inside `ground`, and no larger than that.
    """
    part = bounds(mask)
    object_, outline = image[part], mask[part]
    scale = min(scale, min(old.shape) / max(outline.shape))
    if scale != 1:
        size = max(1, round(outline.shape[1] * scale)), max(1, round(outline.shape[0] * scale))
        object_ = np.asarray(PIL.Image.fromarray(object_).resize(size, PIL.Image.Resampling.LANCZOS))
        outline = np.asarray(PIL.Image.fromarray(outline).resize(size, PIL.Image.Resampling.NEAREST))
    corner = []
    for middle, length, side in zip((s.start + s.stop for s in bounds(old)), outline.shape, old.shape, strict=True):
        corner.append(min(max(0, middle // 2 - length // 2), side - length))
    place = np.s_[corner[0] : corner[0] + outline.shape[0], corner[1] : corner[1] + outline.shape[1]]
    pasted, where = ground.copy(), np.zeros_like(old)
    where[place] = outline
    pasted[where] = object_[outline]
    return Graft(item, pasted, where)


class SpuriousRemovalMethod:
    def __init__(self, resources: Resources, spec: SpuriousRemoval) -> None:
        self.resources, self.spec = resources, spec
        self.concepts = Concepts(resources, spec)
        # Where everything is repainted, nothing is segmented.
        self.words = None if spec.region == "whole" else spec.superclass
        self.skipped: list[Problem] = []

    def learn(self) -> None:
        """Train the judge, segment the objects, learn a token a class. Raises SourceError where nothing is detected."""
        self.concepts.check()
        for label in self.resources.source.classes:
            if not self.majority[label]:
                count = len(self.resources.ranking[label][: self.spec.majority])
                raise self.resources.view.undetected(self.words, count, label, ", or region: whole")
        self.concepts.learn()

    @cached_property
    def majority(self) -> dict[str, list[Item]]:
        """The most typical images of each class in which the object is detected; the others are noted as skipped."""
        typical = {c: [item for item, _ in ranked[: self.spec.majority]] for c, ranked in self.resources.ranking.items()}
        self.resources.view.segment_objects([item for items in typical.values() for item in items], self.words)
        chosen: dict[str, list[Item]] = {}
        for label, items in typical.items():
            chosen[label], missing = self.resources.view.with_object(items, self.words)
            self.skipped += missing
        return chosen

    def regions(self, items: Sequence[Item]) -> list[Mask | None]:
        """The region repainted in each image, None where no object is detected."""
        masks = self.resources.view.object_masks(items, self.words)
        return [None if mask is None else region(mask, self.spec.region, self.spec.grow) for mask in masks]

    def requests(self, planned: Sequence[PlannedImage], attempt: int) -> list[Request]:
        both = self.spec.objects == "both"
        pools = [self.majority[image.origin or image.label] for image in planned]
        ranks = [image.rank // 2 if both else image.rank for image in planned]
        items = [pool[rank % len(pool)] for rank, pool in zip(ranks, pools, strict=True)]
        regions = [mask for mask in self.regions(items) if mask is not None]
        parts = self.resources.view.framed(items, regions, self.resources.spec.smallest_frame)
        requests = [
            self.concepts.request(
                one, attempt, source=item, image=part.image, mask=part.mask, frame=part.frame, strength=self.spec.strength
            )
            for one, item, part in zip(planned, items, parts, strict=True)
        ]
        real = [self.spec.objects == "real" or (both and self.is_grafted(image)) for image in planned]
        return [
            self.grafted(request, item, part) if graft else request
            for request, item, part, graft in zip(requests, items, parts, real, strict=True)
        ]

    def is_grafted(self, image: PlannedImage) -> bool:
        """Of two planned images with one source, one is painted and one has a real object: which of them, is drawn, since a
        shard may hold every second image."""
        pair, second = divmod(image.rank, 2)
        return derive(self.resources.spec.seed, "graft", image.label, image.origin, pair) % 2 == second

    def grafted(self, request: Request, source: Item, ground: FramedImage) -> Request:
        """The request with a real object of the class grafted in, and the rest of the original object inpainted.

        At strength 1: less would keep a trace of the original object. Of its image the object is as large a share as before;
        where a small frame does not hold it with its context, the frame is that of the resolution.
        """
        view = self.resources.view
        donors = [item for item in self.majority[request.label] if item != source] or [source]
        item = donors[derive(request.seed, "donor") % len(donors)]
        masks = [mask for mask in view.object_masks([source, item], self.words) if mask is not None]  # both are detected
        (donor,) = view.framed([item], masks[1:])
        longer = max(part.stop - part.start for part in bounds(donor.mask))
        if longer * donor.scale_in(ground) * (1 + 2 * CONTEXT) > len(ground.image) < view.resolution:
            (ground,) = view.framed([source], [region(masks[0], self.spec.region, self.spec.grow)])
        old = moved(masks[0], ground.overview, ground.frame, *ground.size, len(ground.image))
        object_ = graft(item, donor.image, donor.mask, ground.image, old, donor.scale_in(ground))
        mask = region(old, "mask", self.spec.grow) | region(object_.mask, "mask", self.spec.grow)
        return replace(request, image=ground.image, frame=ground.frame, mask=mask, graft=object_, strength=1.0)
