"""Stable Diffusion XL."""

from pathlib import Path

import torch
from diffusers import EulerDiscreteScheduler, StableDiffusionXLInpaintPipeline, StableDiffusionXLPipeline
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from tests.checkpoints.parts import NOISE, autoencoder_kl, text_config, unet


def build_xl(folder: Path, *, inpainting: bool = False, variant: str | None = None) -> Path:
    """A Stable Diffusion XL checkpoint, as small, with text encoders that are 8 and 12 wide; `variant` of its files."""
    torch.manual_seed(0)
    (tokenizer, text), (tokenizer_2, text_2) = text_config(8), text_config(12)
    denoiser = unet(
        inpainting, 20, addition_embed_type="text_time", addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 8,
    )  # fmt: skip
    kind = StableDiffusionXLInpaintPipeline if inpainting else StableDiffusionXLPipeline
    kind(
        vae=autoencoder_kl(scaling_factor=0.13025, force_upcast=True), text_encoder=CLIPTextModel(text),
        text_encoder_2=CLIPTextModelWithProjection(text_2), tokenizer=tokenizer, tokenizer_2=tokenizer_2, unet=denoiser,
        scheduler=EulerDiscreteScheduler(**NOISE, timestep_spacing="leading", steps_offset=1), add_watermarker=False,
    ).save_pretrained(folder, variant=variant)  # fmt: skip
    return folder
