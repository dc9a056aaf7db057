"""Plain text to image, "a photo of a {class}": the baseline; words, a token or a LoRA can be added.

A guidance scale of about 2 suits training data better than the larger ones that look best (StableRep, NeurIPS 2023, arXiv
2306.00984). From the same paper: siblings, several images of one prompt, which contrastive learning takes for one thing.
They can be pushed away from the first of them, at its first attempt (NegToMe, arXiv 2412.01339).

Several checkpoints can share the images of every class (DiverGen, CVPR 2024, arXiv 2405.10185): which draws one follows from
its place in its class alone, so neither the shards nor the attempt matter.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

from pipelines.learning.concepts import Concepts
from pipelines.learning.resources import Resources
from pipelines.methods.shares import share_of
from pipelines.records import Item, Mask, NegativeMerging, PlannedImage, Problem, Request
from pipelines.spec import TextToImage


class TextToImageMethod:
    def __init__(self, resources: Resources, spec: TextToImage) -> None:
        self.resources, self.spec = resources, spec
        self.concepts = Concepts(resources, spec)
        self.ends = [*accumulate(resources.spec.models.shares)]  # of the checkpoints
        self.skipped: list[Problem] = []

    def learn(self) -> None:
        """Learn the concepts, if there are any."""
        self.concepts.learn()

    def regions(self, items: Sequence[Item]) -> list[Mask | None]:
        """The whole image."""
        return self.resources.view.object_masks(items, None)

    def requests(self, planned: Sequence[PlannedImage], attempt: int) -> list[Request]:
        if self.spec.siblings == 1:
            return [self.concepts.request(image, attempt, checkpoint=share_of(image.rank, self.ends)) for image in planned]
        return [self.sibling(image, attempt) for image in planned]

    def sibling(self, planned: PlannedImage, attempt: int) -> Request:
        """One of a group, whose prompt is the first attempt's at its first image, wherever its shards and attempts are."""
        first = planned.first_sibling(self.spec.siblings)
        first_seed = self.concepts.seed(replace(planned, index=first), 0)
        merging, is_reference = self.spec.negative_merging, (planned.index, attempt) == (first, 0)
        return self.concepts.request(
            planned,
            attempt,
            prompt_seed=first_seed,
            group_id=f"{first:08d}",
            negative_merging=None if is_reference or merging is None else NegativeMerging(first_seed, **dict(merging)),
        )
