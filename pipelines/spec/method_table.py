"""The methods of a spec, the one table."""

from typing import Annotated

from pydantic import Field

from pipelines.spec.counterfactual_pairs import CounterfactualPairs
from pipelines.spec.edit_mix import EditMix
from pipelines.spec.image_variation import ImageVariation
from pipelines.spec.methods import AugmentedConditioning, SpuriousRemoval, TextToImage
from pipelines.spec.subpopulation import Subpopulation

METHOD_SPECS = (
    SpuriousRemoval, TextToImage, ImageVariation, AugmentedConditioning, Subpopulation, EditMix, CounterfactualPairs,
)  # fmt: skip
MethodSpec = Annotated[
    SpuriousRemoval | TextToImage | ImageVariation | AugmentedConditioning | Subpopulation | EditMix | CounterfactualPairs,
    Field(discriminator="type"),
]


def varies(method: MethodSpec) -> bool:
    """Whether images of a class are made from its own real ones."""
    paired = isinstance(method, CounterfactualPairs) and method.starts_from_images
    return paired or isinstance(method, ImageVariation | AugmentedConditioning | EditMix)
