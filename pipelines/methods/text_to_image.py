"""Plain text to image, "a photo of a {class}": the baseline; words, a token or a LoRA can be added.

A guidance scale of about 2 suits training data better than the larger ones that look best (StableRep, NeurIPS 2023, arXiv
2306.00984). From the same paper: siblings, several images of one prompt, which contrastive learning takes for one thing.
"""

from collections.abc import Sequence
from dataclasses import replace

from pipelines.learning.concepts import Concepts
from pipelines.learning.resources import Resources
from pipelines.records import Item, Mask, PlannedImage, Problem, Request
from pipelines.spec import TextToImage


class TextToImageMethod:
    def __init__(self, resources: Resources, spec: TextToImage) -> None:
        self.resources, self.spec = resources, spec
        self.concepts = Concepts(resources, spec)
        self.skipped: list[Problem] = []

    def learn(self) -> None:
        """Learn the concepts, if there are any."""
        self.concepts.learn()

    def regions(self, items: Sequence[Item]) -> list[Mask | None]:
        """The whole image."""
        return self.resources.view.object_masks(items, None)

    def requests(self, planned: Sequence[PlannedImage], attempt: int) -> list[Request]:
        if self.spec.siblings == 1:
            return [self.concepts.request(image, attempt) for image in planned]
        return [self.sibling(image, attempt) for image in planned]

    def sibling(self, planned: PlannedImage, attempt: int) -> Request:
        """One of a group, whose prompt is the first attempt's at its first image, wherever its shards and attempts are."""
        first = planned.first_sibling(self.spec.siblings)
        prompt_seed = self.concepts.seed(replace(planned, index=first), 0)
        return self.concepts.request(planned, attempt, prompt_seed=prompt_seed, group_id=f"{first:08d}")
