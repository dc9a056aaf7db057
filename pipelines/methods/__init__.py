"""The methods: one file each, and the one table."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from pipelines.learning.concepts import Concepts
from pipelines.learning.resources import Resources
from pipelines.methods.augmented_conditioning import AugmentedConditioningMethod
from pipelines.methods.counterfactual_pairs import CounterfactualPairsMethod
from pipelines.methods.edit_mix import EditMixMethod
from pipelines.methods.image_variation import ImageVariationMethod
from pipelines.methods.spurious_removal import SpuriousRemovalMethod
from pipelines.methods.subpopulation import SubpopulationMethod
from pipelines.methods.text_to_image import TextToImageMethod
from pipelines.records import Item, Mask, PlannedImage, Problem, Request


class Method(Protocol):
    concepts: Concepts
    skipped: list[Problem]  # source images that cannot be used, complete after `learn`

    def learn(self) -> None:
        """Train what generation needs, or take it from the store. Resumable; running it again costs nothing."""

    def regions(self, items: Sequence[Item]) -> list[Mask | None]:
        """The region to repaint in each source image, None where no object is detected."""

    def requests(self, planned: Sequence[PlannedImage], attempt: int) -> list[Request]:
        """One request for each planned image, at this attempt."""


METHODS: dict[str, Callable[[Resources, Any], Method]] = {
    "spurious_removal": SpuriousRemovalMethod,
    "text_to_image": TextToImageMethod,
    "image_variation": ImageVariationMethod,
    "augmented_conditioning": AugmentedConditioningMethod,
    "subpopulation": SubpopulationMethod,
    "edit_mix": EditMixMethod,
    "counterfactual_pairs": CounterfactualPairsMethod,
}


def open_method(resources: Resources) -> Method:
    """The method of the spec."""
    return METHODS[resources.spec.method.type](resources, resources.spec.method)
