"""Plain text to image, "a photo of a {class}": the baseline; with a learned token for the class where one is asked for.

Guidance about 2 suits training data better than what suits the eye (StableRep, arXiv 2306.00984).
"""

from collections.abc import Sequence

from pipelines.chance import derive
from pipelines.records import Item, Mask, Problem, Request, Slot
from pipelines.spec import TextToImage
from pipelines.tokens import Tokens
from pipelines.workbench import Workbench


class TextToImageMethod:
    def __init__(self, bench: Workbench, spec: TextToImage) -> None:
        self.bench, self.spec = bench, spec
        self.tokens = Tokens(bench, spec.superclass or "", spec.inversion)
        self.skipped: list[Problem] = []

    def learn(self) -> None:
        """Learn the tokens, if any are asked for."""
        self.tokens.learned  # noqa: B018  (learned on first use)

    def regions(self, items: Sequence[Item]) -> list[Mask | None]:
        """Everywhere."""
        return self.bench.objects(items, None)

    def requests(self, slots: Sequence[Slot], attempt: int) -> list[Request]:
        return [
            Request(
                index=slot.index,
                attempt=attempt,
                seed=derive(self.bench.spec.seed, "image", slot.index, attempt),
                label=slot.label,
                method=self.spec.type,
                prompt=self.tokens.prompt(slot.label),
                concept=self.tokens.address(slot.label),
                guidance=self.spec.guidance,
                steps=self.spec.steps,
            )
            for slot in slots
        ]
