"""How real images are edited in a style, and mixed with what they were."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from pipelines.spec.base import Share, Strength, distinct
from pipelines.spec.methods import Asked

STYLES = (  # DiffuseMix's
    "Autumn", "snowy", "watercolor art", "sunset", "rainbow", "aurora", "mosaic", "ukiyo-e", "a sketch with crayon",
)  # fmt: skip


class EditMix(Asked):
    """Half a real image, half the same one edited in a style, blended with a fractal (DiffuseMix, arXiv 2405.14881)."""

    type: Literal["edit_mix"]
    editor: Literal["image_to_image", "instruct"] = Field(
        "image_to_image",
        description="What edits. image_to_image: any checkpoint, which denoises the noised image by the class's prompt and "
        "the style after it. instruct, as in the papers: an InstructPix2Pix checkpoint (arXiv 2211.09800), prompted by "
        "the style alone; templates, words and names are of no effect.",
    )
    styles: Annotated[tuple[str, ...], AfterValidator(distinct)] = Field(
        STYLES, min_length=1, description="What an image is edited into, one drawn for each: watercolor art."
    )
    strength: Strength = Field(
        0.6, description="Share of the noise schedule that is run by image_to_image: near 0 keeps the image, 1 is all noise."
    )
    fractal: Share = Field(0.2, description="Weight of the fractal in the blend; 0: none.")
    guidance: float = Field(4.0, ge=1, description="Classifier-free guidance scale.")
    image_guidance: float = Field(
        1.5, ge=1, description="Scale of guidance by the real image, of instruct alone: the higher, the nearer to it."
    )
    steps: int = Field(25, ge=1, le=1000, description="Denoising steps of the full schedule.")
