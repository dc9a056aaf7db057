"""Plain text to image, "a photo of a {class}": the baseline; words, a token or a LoRA can be added.

A guidance scale of about 2 suits training data better than the larger ones that look best (StableRep, arXiv 2306.00984).
"""

from collections.abc import Sequence

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
        return [self.concepts.request(image, attempt) for image in planned]
