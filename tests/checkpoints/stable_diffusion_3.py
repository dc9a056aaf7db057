"""Stable Diffusion 3 and 3.5."""

from pathlib import Path

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline
from transformers import CLIPTextModelWithProjection

from tests.checkpoints.parts import autoencoder_kl, t5, text_config


def build_3(folder: Path, *, t5_encoder: bool = True) -> Path:
    """A Stable Diffusion 3.5 checkpoint of 32x32 pictures and 8x8x16 latents; without its T5 encoder, one of 3.0."""
    torch.manual_seed(0)
    (tokenizer, text), (tokenizer_2, text_2) = text_config(8), text_config(12)
    tokenizer_3, text_encoder_3 = t5(24) if t5_encoder else (None, None)
    newer = {"dual_attention_layers": (0,), "qk_norm": "rms_norm"} if t5_encoder else {}
    transformer = SD3Transformer2DModel(
        sample_size=8, num_layers=3, attention_head_dim=4, num_attention_heads=2, joint_attention_dim=24,
        caption_projection_dim=8, pooled_projection_dim=16, pos_embed_max_size=8, **newer,
    )  # fmt: skip
    StableDiffusion3Pipeline(
        vae=autoencoder_kl(
            16, scaling_factor=1.5305, shift_factor=0.0609, use_quant_conv=False, use_post_quant_conv=False,
            force_upcast=True,
        ),
        text_encoder=CLIPTextModelWithProjection(text), text_encoder_2=CLIPTextModelWithProjection(text_2),
        text_encoder_3=text_encoder_3, tokenizer=tokenizer, tokenizer_2=tokenizer_2, tokenizer_3=tokenizer_3,
        transformer=transformer, scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    ).save_pretrained(folder)  # fmt: skip
    return folder
