"""The families of checkpoints that are taken apart, and what is known of each without torch: the one table of them.

A family's backbone, the code that computes with it, is imported when a checkpoint of it is loaded.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pipelines.backbones.autopipeline import NO_INSTRUCTIONS, whole_limits
from pipelines.backbones.layout import Layout, editing_layout, flux_layout, sd3_layout, unet_layout
from pipelines.backbones.scheduler_config import check_diffusion, check_flow

if TYPE_CHECKING:
    from pipelines.backbones.backbone import Backbone

Config = Mapping[str, Any]
PARTS = frozenset({"vae", "scheduler", "text_encoder", "tokenizer"})  # beside the denoiser
TWO_ENCODERS = PARTS | {"text_encoder_2", "tokenizer_2"}


@dataclass(frozen=True)
class Family:
    """What the configurations of its checkpoints are read by."""

    backbone: str  # MODULE:CLASS in this package
    denoiser: str  # its class, in model_index.json
    parts: frozenset[str]  # that a checkpoint must have
    layout: Callable[[Config, Config], Layout]  # of the configurations of denoiser and autoencoder; raises ModelError
    check_scheduler: Callable[[str, Config], None]  # raises ModelError, by class and configuration
    limits: Mapping[str, str]  # of `features`: why it has one not, and what to do instead
    pipeline: str | None = None  # the class of its checkpoints, in model_index.json; None: any

    def load(self) -> "type[Backbone]":
        module, name = self.backbone.split(":")
        backbone: type[Backbone] = getattr(import_module(f"pipelines.backbones.{module}"), name)
        return backbone


UNET_LIMITS = {"instruct": NO_INSTRUCTIONS}
TRANSFORMER_LIMITS = {
    **UNET_LIMITS,
    "image_prompts": "it takes no image prompts here; use another method, or a checkpoint of Stable Diffusion 1, 2 or XL",
    "cross_attention": "its text and image attend to each other, and only a UNet's cross-attention is read; give a CLIPSeg "
    "checkpoint, or a GroundingDINO and a SAM one joined by '+'",
    "negative_merging": "tokens are pushed after a UNet's self-attention alone; leave it out",
    "inpainting": "it repaints parts of images by itself; leave it out",
    "erase": "its text and image attend to each other, and only a UNet's cross-attention is edited; leave it out, or give a "
    "checkpoint of Stable Diffusion 1, 2 or XL",
    "solver": "its noise schedule is a flow's, whose steps are Euler's; set it to auto",
}
STABLE_DIFFUSION_XL = Family(
    "stable_diffusion_xl:StableDiffusionXL",
    "UNet2DConditionModel",
    PARTS | {"text_encoder_2"},
    unet_layout,
    check_diffusion,
    UNET_LIMITS,
)
STABLE_DIFFUSION = Family(
    "stable_diffusion:StableDiffusion", "UNet2DConditionModel", PARTS, unet_layout, check_diffusion, UNET_LIMITS
)
EDITS = "it edits images as it is told, and does nothing else"
OTHER_METHOD = f"{EDITS}; use edit_mix with editor: instruct, or another checkpoint"
INSTRUCT_PIX2PIX = Family(
    "instruct_pix2pix:InstructPix2Pix",
    "UNet2DConditionModel",
    PARTS,
    editing_layout,
    check_diffusion,
    {
        **dict.fromkeys(("text_to_image", "image_to_image", "repainting", "image_prompts"), OTHER_METHOD),
        "inversion": f"{EDITS}; set inversion to null",
        "lora": f"{EDITS}; leave it out",
        "lora_text_encoder": f"{EDITS}; leave it out",
        "negative_merging": f"{EDITS}; leave it out",
        "guidance_rescale": "it is guided by the image, too, and that is not rescaled; leave it out",
        "cache_interval": "it is guided by the image, too, whose features are not kept; set it to 1",
        "cross_attention": f"{EDITS}; give a CLIPSeg checkpoint, or a GroundingDINO and a SAM one joined by '+'",
        "inpainting": f"{EDITS}; leave it out",
        "diffusion_classifier": f"{EDITS}; leave the filter out",
    },
    "StableDiffusionInstructPix2PixPipeline",
)
STABLE_DIFFUSION_3 = Family(
    "stable_diffusion_3:StableDiffusion3",
    "SD3Transformer2DModel",
    TWO_ENCODERS,
    sd3_layout,
    check_flow,
    TRANSFORMER_LIMITS,
)
FLUX = Family(
    "flux:Flux",
    "FluxTransformer2DModel",
    TWO_ENCODERS,
    flux_layout,
    check_flow,
    {
        **TRANSFORMER_LIMITS,
        "inversion": "a token's embedding would reach its images by one pooled embedding alone, and its T5 is not "
        "trained; set inversion to null, and learn a LoRA (method.lora)",
        "lora_text_encoder": "its CLIP reaches images by one pooled embedding alone, and its T5 is not trained; set "
        "it to false",
        "embeddings": "they would reach its images by one pooled embedding alone; leave them out, and give a LoRA "
        "(models.loras)",
        "negative_prompt": "its guidance is distilled, without a second prediction that a prompt could say; leave it out",
        "guidance_rescale": "its guidance is distilled, without a second prediction; leave it out",
        "guidance_interval": "its guidance is distilled, without a second prediction to be spared; leave it out",
    },
)
# The first that fits is a checkpoint's.
TAKEN_APART = (STABLE_DIFFUSION_XL, INSTRUCT_PIX2PIX, STABLE_DIFFUSION, STABLE_DIFFUSION_3, FLUX)
NAMES = (  # in errors
    "Stable Diffusion 1.x, 2.x or XL, plain or inpainting, StableUnCLIP, InstructPix2Pix, Stable Diffusion 3.x, or Flux, or "
    "one that AutoPipelineForText2Image draws with from a prompt alone, such as PixArt, Sana or Qwen-Image"
)


def family_of(index: Config) -> Family | None:
    """The family of a checkpoint by its parts, each a library and a class; None for one of another family."""
    parts = {part: value[1] for part, value in index.items() if isinstance(value, list) and value[1]}
    denoiser = parts.get("unet") or parts.get("transformer")
    if not parts.get("text_encoder", "").startswith("CLIPText"):  # Kolors has another language model
        return None
    alike = [one for one in TAKEN_APART if one.denoiser == denoiser and one.parts <= parts.keys()]
    return next((one for one in alike if one.pipeline in (None, index.get("_class_name"))), None)


# The families as users know them, and what `check_capabilities` refuses of each: the columns of `counterpoise families`.
FAMILIES: dict[str, Mapping[str, str]] = {
    "SD 1, 2": STABLE_DIFFUSION.limits,
    "SD inpainting": STABLE_DIFFUSION.limits,
    "StableUnCLIP": STABLE_DIFFUSION.limits,
    "InstructPix2Pix": INSTRUCT_PIX2PIX.limits,
    "SDXL": STABLE_DIFFUSION_XL.limits,
    "SDXL inpainting": STABLE_DIFFUSION_XL.limits,
    "SD 3": STABLE_DIFFUSION_3.limits,
    "Flux": FLUX.limits,
    "PixArt, Sana, Lumina 2, CogView 4": whole_limits("PixArtSigmaPipeline"),
    "Qwen-Image, Z-Image": whole_limits("QwenImagePipeline"),
}
