"""What a spec can ask of its checkpoint that some family cannot do: names, and how to tell. The one table of them.

A family says by these names, in its `limits`, what it cannot do. By them specs are refused (`capabilities`), and the table
of `counterpoise families` is made.
"""

from collections.abc import Callable
from dataclasses import dataclass

from pipelines.spec import (
    AugmentedConditioning,
    CounterfactualPairs,
    DiffusionClassifierFilter,
    EditMix,
    ImageVariation,
    SpuriousRemoval,
    Subpopulation,
    TextToImage,
    VersionSpec,
)
from pipelines.spec.arms import ARMS
from pipelines.spec.helpers import segmenter_users


@dataclass(frozen=True, slots=True)
class Feature:
    title: str  # in tables: the fields of a spec that ask for it
    field: str  # that errors name
    used: Callable[[VersionSpec], bool]


def starts_from_images(spec: VersionSpec) -> bool:
    method = spec.method
    if isinstance(method, EditMix):
        return method.editor == "image_to_image"
    if isinstance(method, CounterfactualPairs):
        return method.starts_from_images
    return isinstance(method, ImageVariation | SpuriousRemoval) and not method.repaints_a_part


def reencodes(spec: VersionSpec) -> bool:
    evaluation = spec.evaluation
    return evaluation is not None and evaluation.reencode > 0 and any(ARMS[arm].reencode for arm in evaluation.arms)


FEATURES = {
    "text_to_image": Feature(
        "text_to_image",
        "method.type",
        lambda spec: (
            isinstance(spec.method, TextToImage | Subpopulation | CounterfactualPairs) and not starts_from_images(spec)
        ),
    ),
    "image_to_image": Feature("image_variation of whole images, edit_mix", "method.type", starts_from_images),
    "repainting": Feature(
        "spurious_removal, image_variation of parts", "method.type", lambda spec: spec.method.repaints_a_part
    ),
    "image_prompts": Feature(
        "augmented_conditioning", "method.type", lambda spec: isinstance(spec.method, AugmentedConditioning)
    ),
    "instruct": Feature(
        "edit_mix with editor: instruct",
        "method.editor",
        lambda spec: isinstance(spec.method, EditMix) and spec.method.editor == "instruct",
    ),
    "inversion": Feature("method.inversion", "method.inversion", lambda spec: spec.method.inversion is not None),
    "lora_text_encoder": Feature(
        "method.lora.text_encoder",
        "method.lora.text_encoder",
        lambda spec: spec.method.lora is not None and spec.method.lora.text_encoder,
    ),
    "lora": Feature("method.lora", "method.lora", lambda spec: spec.method.lora is not None),
    "negative_prompt": Feature(
        "method.negative_prompt", "method.negative_prompt", lambda spec: bool(spec.method.negative_prompt)
    ),
    "guidance_rescale": Feature(
        "method.guidance_rescale", "method.guidance_rescale", lambda spec: spec.method.guidance_rescale > 0
    ),
    "guidance_interval": Feature(
        "method.guidance_interval", "method.guidance_interval", lambda spec: spec.method.guidance_interval != (0, 1)
    ),
    "entropy_guidance": Feature(
        "method.entropy_guidance", "method.entropy_guidance", lambda spec: spec.method.entropy_guidance > 0
    ),
    "solver": Feature("method.solver", "method.solver", lambda spec: spec.method.solver != "auto"),
    "cache_interval": Feature("method.cache_interval", "method.cache_interval", lambda spec: spec.method.cache_interval > 1),
    "negative_merging": Feature(
        "method.negative_merging",
        "method.negative_merging",
        lambda spec: isinstance(spec.method, TextToImage) and spec.method.negative_merging is not None,
    ),
    "early_verdict": Feature("early_verdict", "early_verdict", lambda spec: spec.early_verdict is not None),
    "cross_attention": Feature(
        "models.segmenter: cross-attention",
        "models.segmenter",
        lambda spec: spec.models.segmenter == "cross-attention" and bool(segmenter_users(spec)),
    ),
    "inpainting": Feature("models.inpainting", "models.inpainting", lambda spec: spec.models.inpainting is not None),
    "loras": Feature("models.loras", "models.loras", lambda spec: bool(spec.models.loras)),
    "embeddings": Feature("models.embeddings", "models.embeddings", lambda spec: bool(spec.models.embeddings)),
    "erase": Feature("models.erase", "models.erase", lambda spec: spec.models.erase is not None),
    "diffusion_classifier": Feature(
        "filters: diffusion_classifier",
        "filters.diffusion_classifier",
        lambda spec: any(isinstance(filter_, DiffusionClassifierFilter) for filter_ in spec.filters),
    ),
    "reencode": Feature("evaluation.reencode", "evaluation.reencode", reencodes),
}
