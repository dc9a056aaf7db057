"""Flux."""

from pathlib import Path

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from transformers import CLIPTextModel

from tests.checkpoints.parts import autoencoder_kl, t5, text_config


def build_flux(folder: Path, *, guidance: bool = True) -> Path:
    """A FLUX.1-dev checkpoint of 32x32 pictures and 8x8x16 latents; without `guidance`, in schnell's layout."""
    torch.manual_seed(0)
    (tokenizer, text), (tokenizer_2, text_encoder_2) = text_config(8), t5(24)
    transformer = FluxTransformer2DModel(
        num_layers=1, num_single_layers=2, attention_head_dim=8, num_attention_heads=2, joint_attention_dim=24,
        pooled_projection_dim=8, guidance_embeds=guidance, axes_dims_rope=(2, 2, 4),
    )  # fmt: skip
    for weight in transformer.parameters():  # so that a prompt makes a difference in so small a one
        weight.data *= 2
    FluxPipeline(
        vae=autoencoder_kl(
            16, scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False,
            force_upcast=True,
        ),
        text_encoder=CLIPTextModel(text), text_encoder_2=text_encoder_2, tokenizer=tokenizer, tokenizer_2=tokenizer_2,
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0 if guidance else 1.0, use_dynamic_shifting=guidance),
    ).save_pretrained(folder)  # fmt: skip
    return folder
