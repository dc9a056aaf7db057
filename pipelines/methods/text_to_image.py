"""Plain text to image, "a photo of a {class}": the baseline, and with words, a token or a LoRA much more than that.

Guidance about 2 suits training data better than what suits the eye (StableRep, arXiv 2306.00984).
"""

from collections.abc import Sequence

from pipelines.concepts import Concepts
from pipelines.records import Item, Mask, Problem, Request, Slot
from pipelines.spec import TextToImage
from pipelines.workbench import Workbench


class TextToImageMethod:
    def __init__(self, bench: Workbench, spec: TextToImage) -> None:
        self.bench, self.spec = bench, spec
        self.concepts = Concepts(bench, spec)
        self.skipped: list[Problem] = []

    def learn(self) -> None:
        """Learn the concepts, if any are asked for."""
        self.concepts.learn()

    def regions(self, items: Sequence[Item]) -> list[Mask | None]:
        """Everywhere."""
        return self.bench.objects(items, None)

    def requests(self, slots: Sequence[Slot], attempt: int) -> list[Request]:
        return [self.concepts.request(slot, attempt) for slot in slots]
