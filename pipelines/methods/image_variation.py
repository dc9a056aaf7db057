"""Variations of real images: noised to a strength (SDEdit) and denoised with the prompt of their class.

DA-Fusion (ICLR 2024, arXiv 2302.07944): a token a class, learned from its images; strengths stacked, one drawn for each
image; the object, or all but the object, repainted alone by `repaint`. Without tokens and with one small strength it
is Real Guidance (ICLR 2023, arXiv 2210.07574). With an even `spectrum` it makes what Diffusion Curriculum (DisCL, ICCV 2025,
arXiv 2410.13674) walks: every source image at each strength. Beyond the papers: an object that is kept may be given another
colour and place (as objects that are pasted are in Cut, Paste and Learn, ICCV 2017, arXiv 1708.01642).
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from pipelines.learning.concepts import Concepts
from pipelines.learning.resources import Resources
from pipelines.methods.kept_object import elsewhere, middles, recoloured
from pipelines.methods.shares import share_of
from pipelines.prompts import draw
from pipelines.records import FramedImage, Graft, Item, Mask, PlannedImage, Problem, Request
from pipelines.regions import region
from pipelines.source.frames import inside, moved
from pipelines.spec import ImageVariation
from pipelines.spec.colours import rgb


class ImageVariationMethod:
    def __init__(self, resources: Resources, spec: ImageVariation) -> None:
        self.resources, self.spec = resources, spec
        self.concepts = Concepts(resources, spec)
        # Where everything may change, nothing is segmented.
        self.words = None if spec.repaint == "whole" else resources.superclass
        self.skipped: list[Problem] = []

    def learn(self) -> None:
        """Segment the objects, learn the tokens. Raises SourceError for a class in which nothing is detected."""
        self.concepts.check()
        for label, items in self.pool.items():
            if not items:
                count = len(self.resources.source.of(label))
                raise self.resources.view.undetected(self.words, count, label, ", or repaint: whole")
        self.concepts.learn()

    @cached_property
    def pool(self) -> dict[str, list[Item]]:
        """The source images of each class: its training images, without those in which no object is detected."""
        source, view = self.resources.source, self.resources.view
        view.segment_objects([item for label in source.classes for item in source.of(label)], self.words)
        pool = {}
        for label in source.classes:
            pool[label], missing = view.with_object(source.of(label), self.words)
            self.skipped += missing
        return pool

    @cached_property
    def room(self) -> Mask:
        """Where the middles of objects lie, of all classes, in overviews: no place tells one class from another."""
        pooled = (item for items in self.pool.values() for item in items)
        masks = (self.resources.view.object_masks([item], self.words)[0] for item in pooled)
        return middles(mask for mask in masks if mask is not None)

    def regions(self, items: Sequence[Item]) -> list[Mask | None]:
        """The region that is another in each image, None where no object is detected."""
        masks = self.resources.view.object_masks(items, self.words)
        if self.words is None:
            return masks
        if self.spec.alters_object:
            return [None if mask is None else np.ones_like(mask) for mask in masks]
        grown = [None if mask is None else region(mask, "mask", self.spec.grow) for mask in masks]
        return grown if self.spec.repaint == "object" else [None if mask is None else ~mask for mask in grown]

    def requests(self, planned: Sequence[PlannedImage], attempt: int) -> list[Request]:
        items = [self.pool[image.label][image.rank % len(self.pool[image.label])] for image in planned]
        regions = [
            np.ones_like(mask) if self.is_whole(image) else mask
            for image, mask in zip(planned, self.regions(items), strict=True)
            if mask is not None
        ]
        parts = self.resources.view.framed(items, regions, self.resources.spec.smallest_frame)
        strengths = [self.strength(image, attempt) for image in planned]
        requests = [
            self.concepts.request(
                one, attempt, source=self.source(one, item, strength), image=part.image, mask=part.mask,
                frame=part.frame, strength=strength,
            )
            for one, item, part, strength in zip(planned, items, parts, strengths, strict=True)
        ]  # fmt: skip
        return [
            self.altered(request, item, part) if self.spec.alters_object and not self.is_whole(image) else request
            for image, request, item, part in zip(planned, requests, items, parts, strict=True)
        ]

    def source(self, planned: PlannedImage, item: Item, strength: float) -> Item:
        """The source image of a variation: of no group any more where nothing of its surroundings is left."""
        left = strength < 1 or (self.spec.repaint == "object" and not self.is_whole(planned))
        return item if left else replace(item, group=None)

    def is_whole(self, planned: PlannedImage) -> bool:
        """Whether a planned image is one of those that are repainted whole: any run of a class's has the share of them."""
        return share_of(planned.rank, (self.spec.whole, 1.0)) == 0

    def altered(self, request: Request, item: Item, part: FramedImage) -> Request:
        """The request that keeps its image's object in another colour or place, and paints all else."""
        spec, (height, width) = self.spec, part.size
        (mask,) = self.resources.view.object_masks([item], self.words)
        assert mask is not None  # of the pool
        within = inside(part.frame, height, width, len(part.image))
        object_, image = moved(mask, part.overview, part.frame, height, width, len(part.image)) & within, part.image
        if not object_.any():  # smaller than a pixel of the frame: there is nothing to keep
            return request
        if spec.recolour is not None:
            words = self.concepts.tokens.image_words.lists.of(request.label)[spec.recolour]
            image = recoloured(image, object_, rgb(draw(spec.recolour, words, request.seed)))
        kept = region(object_, "mask", spec.grow) & within
        if spec.move:
            room = moved(self.room, part.overview, part.frame, height, width, len(part.image)) & within
            if room.any():  # it may be smaller than a pixel of the frame, too
                image, kept = elsewhere(image, kept, room, within, request.seed)
        return replace(request, graft=Graft(item, image, kept))

    def strength(self, planned: PlannedImage, attempt: int) -> float:
        """One of the strengths: drawn by the image's seed, or of an even spectrum the turn of the source image."""
        strengths, turn = self.spec.strengths, sum(divmod(planned.rank, len(self.pool[planned.label])))
        if self.spec.spectrum == "even":
            return strengths[turn % len(strengths)]
        return float(np.random.default_rng(self.concepts.seed(planned, attempt)).choice(strengths))
