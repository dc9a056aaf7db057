"""Checkpoints as large as the published ones, to measure speed and memory with."""

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from pipelines.builtin.train.language import build_tokenizer
from tests.checkpoints.parts import NOISE


def full_size(xl: bool, folder: Path, device: torch.device, dtype: torch.dtype) -> Path:
    """A checkpoint of the size and layout of Stable Diffusion 1.5, 512 pixels a side, or of SDXL's base, 1024."""
    tokenizer = build_tokenizer()
    tokenizer.model_max_length = 77
    end = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    common = {"vocab_size": 49408, "max_position_embeddings": 77}
    common |= {"bos_token_id": end - 1, "eos_token_id": end, "pad_token_id": end}
    text = CLIPTextConfig(
        **common, hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, projection_dim=768
    )
    text_2 = CLIPTextConfig(
        **common, hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=20,
        projection_dim=1280, hidden_act="gelu",
    )  # fmt: skip
    torch.manual_seed(0)
    with device:
        vae = AutoencoderKL(
            block_out_channels=(128, 256, 512, 512), down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4, layers_per_block=2, sample_size=1024 if xl else 512,
            scaling_factor=0.13025 if xl else 0.18215, force_upcast=xl,
        )  # fmt: skip
        if xl:
            denoiser = UNet2DConditionModel(
                sample_size=128, block_out_channels=(320, 640, 1280), transformer_layers_per_block=(1, 2, 10),
                down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
                up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), attention_head_dim=(5, 10, 20),
                cross_attention_dim=2048, use_linear_projection=True, addition_embed_type="text_time",
                addition_time_embed_dim=256, projection_class_embeddings_input_dim=2816,
            )  # fmt: skip
            pipeline: Any = StableDiffusionXLPipeline(
                vae=vae, text_encoder=CLIPTextModel(text), text_encoder_2=CLIPTextModelWithProjection(text_2),
                tokenizer=tokenizer, tokenizer_2=tokenizer, unet=denoiser, add_watermarker=False,
                scheduler=EulerDiscreteScheduler(**NOISE, timestep_spacing="leading", steps_offset=1),
            )  # fmt: skip
        else:
            pipeline = StableDiffusionPipeline(
                vae=vae, text_encoder=CLIPTextModel(text), tokenizer=tokenizer, safety_checker=None, feature_extractor=None,
                unet=UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8),
                scheduler=PNDMScheduler(**NOISE, skip_prk_steps=True, steps_offset=1), requires_safety_checker=False,
            )  # fmt: skip
    pipeline.to(dtype=dtype).save_pretrained(folder)
    return folder
