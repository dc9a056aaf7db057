"""What checkpoints with a transformer share, in which the tokens of text and image attend to each other (MM-DiT, Esser et
al. 2024, arXiv 2403.03206)."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch

from pipelines.backbones.backbone import Backbone
from pipelines.backbones.layout import Layout, vae_scale_factor
from pipelines.errors import ModelError


class TransformerBackbone(Backbone):
    """Parts of images are repainted by blending latents: there are no further input channels, and no image prompts.

    In training, each block is computed again for its gradients: the activations of all of them would not fit beside the
    weights.
    """

    component = "transformer"
    required = (*Backbone.required, "text_encoder_2", "tokenizer_2")
    lora_targets = (*Backbone.lora_targets, "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")
    limits: ClassVar[Mapping[str, str]] = {
        "image_prompts": "it takes no image prompts here; use another method, or a checkpoint of Stable Diffusion 1, 2 or "
        "XL",
        "cross_attention": "its text and image attend to each other, and only a UNet's cross-attention is read; give a "
        "CLIPSeg checkpoint, or a GroundingDINO and a SAM one joined by '+'",
        "inpainting": "it repaints parts of images by itself; leave it out",
    }

    def __init__(self, pipeline: Any, name: str, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__(pipeline, name, device, dtype)
        self.denoiser.enable_gradient_checkpointing()


def transformer_layout(resolution: int, channels: int, vae: Mapping[str, Any], patch_size: int) -> Layout:
    """The layout of a transformer with `channels` input channels a latent cell. Raises ModelError unless they are those of
    the latents."""
    latents = int(vae["latent_channels"])
    if channels != latents:
        raise ModelError(
            f"its transformer has {channels} input channels a latent cell, and only latents ({latents}) are supported: none "
            "for inpainting (Fill), control or editing; give a text-to-image checkpoint, which repaints parts of images, too"
        )
    return Layout(resolution, vae_scale_factor(vae), latents, patch_size)
