"""The methods: one file each, and the one table."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from pipelines.concepts import Concepts
from pipelines.methods.augmented_conditioning import AugmentedConditioningMethod
from pipelines.methods.image_variation import ImageVariationMethod
from pipelines.methods.spurious_removal import SpuriousRemovalMethod
from pipelines.methods.text_to_image import TextToImageMethod
from pipelines.records import Item, Mask, Problem, Request, Slot
from pipelines.workbench import Workbench


class Method(Protocol):
    concepts: Concepts  # none learned where none are asked for
    skipped: list[Problem]  # source images that cannot be used, known after `learn`

    def learn(self) -> None:
        """Learn what generation needs, or find it in the store. Resumable; running it again costs nothing."""

    def regions(self, items: Sequence[Item]) -> list[Mask | None]:
        """Where it would paint in each source image, None where it cannot."""

    def requests(self, slots: Sequence[Slot], attempt: int) -> list[Request]:
        """What to ask of the engine for these slots, at this attempt."""


METHODS: dict[str, Callable[[Workbench, Any], Method]] = {
    "spurious_removal": SpuriousRemovalMethod,
    "text_to_image": TextToImageMethod,
    "image_variation": ImageVariationMethod,
    "augmented_conditioning": AugmentedConditioningMethod,
}


def open_method(bench: Workbench) -> Method:
    """The method that the spec asks for."""
    return METHODS[bench.spec.method.type](bench, bench.spec.method)
