"""Parts that tiny checkpoints of several families are built of."""

from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import (
    CLIPTextConfig,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

from pipelines.builtin.train.language import build_tokenizer, corpus

NOISE = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}  # of diffusion


def vision_tower() -> CLIPVisionModelWithProjection:
    """The picture's half of a CLIP, 8 wide, of 32x32 pictures."""
    torch.manual_seed(1)
    config = CLIPVisionConfig(
        hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=8,
        projection_dim=8,
    )  # fmt: skip
    return CLIPVisionModelWithProjection(config)


def text_config(width: int) -> tuple[CLIPTokenizer, CLIPTextConfig]:
    """A tokenizer of 32 tokens a prompt, and the configuration of a text encoder for it."""
    tokenizer = build_tokenizer()
    end = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    config = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=width, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=32, projection_dim=8, bos_token_id=end - 1, eos_token_id=end, pad_token_id=end,
    )  # fmt: skip
    return tokenizer, config


def t5(width: int) -> tuple[T5Tokenizer, T5EncoderModel]:
    """A T5 encoder `width` wide, and a tokenizer whose vocabulary is words and single letters."""
    words = sorted({word for text in corpus() for word in text.split()})
    letters = [("▁", -5.0), *((letter, -6.0) for letter in "abcdefghijklmnopqrstuvwxyz0123456789<>_,.")]
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((f"▁{word}", -3.0) for word in words), *letters]
    tokenizer = T5Tokenizer(vocab=vocabulary, extra_ids=0)
    config = T5Config(
        vocab_size=len(tokenizer), d_model=width, d_kv=4, d_ff=16, num_layers=1, num_heads=2, feed_forward_proj="gated-gelu"
    )
    return tokenizer, T5EncoderModel(config)


def unet(inpainting: bool, width: int, **conditioning: Any) -> UNet2DConditionModel:
    """A UNet for 8x8x4 latents and embeddings `width` wide."""
    return UNet2DConditionModel(
        sample_size=8, in_channels=9 if inpainting else 4, out_channels=4, block_out_channels=(8, 16), layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        attention_head_dim=2, cross_attention_dim=width, norm_num_groups=4, **conditioning,
    )  # fmt: skip


def autoencoder_kl(channels: int = 4, **config: Any) -> AutoencoderKL:
    """An autoencoder of the published class, for 32x32 images and latents of 8x8 by `channels`."""
    return AutoencoderKL(
        block_out_channels=(8, 8, 8), down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
        latent_channels=channels, norm_num_groups=4, sample_size=32, **config,
    )  # fmt: skip
