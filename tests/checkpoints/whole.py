"""Checkpoints that are run whole: PixArt-Sigma, from text to image alone, and Z-Image, which repaints, too."""

from pathlib import Path

import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    ZImagePipeline,
    ZImageTransformer2DModel,
)
from transformers import Qwen2Tokenizer, Qwen3Config, Qwen3Model

from pipelines.builtin.train.language import build_tokenizer
from tests.checkpoints.parts import autoencoder_kl, t5


def build_pixart(folder: Path) -> Path:
    """A PixArt-Sigma checkpoint of 32x32 pictures and 8x8x4 latents."""
    torch.manual_seed(0)
    tokenizer, text_encoder = t5(24)
    transformer = PixArtTransformer2DModel(
        sample_size=8, num_layers=1, num_attention_heads=2, attention_head_dim=8, cross_attention_dim=16,
        caption_channels=24, norm_num_groups=4,
    )  # fmt: skip
    for weight in transformer.parameters():  # so that a prompt makes a difference in so small a one
        weight.data *= 3
    PixArtSigmaPipeline(
        tokenizer=tokenizer, text_encoder=text_encoder, vae=autoencoder_kl(), transformer=transformer,
        scheduler=DPMSolverMultistepScheduler(),
    ).save_pretrained(folder)  # fmt: skip
    return folder


def build_z_image(folder: Path) -> Path:
    """A Z-Image checkpoint of 8x8x16 latents whose configuration does not say for which size of pictures it is made."""
    torch.manual_seed(0)
    clip = build_tokenizer()
    vocab = clip.get_vocab()
    tokenizer = Qwen2Tokenizer(vocab=vocab | {"<|im_start|>": len(vocab), "<|im_end|>": len(vocab) + 1}, merges=[])
    tokenizer.chat_template = "{% for message in messages %}<|im_start|>{{ message['content'] }}<|im_end|>{% endfor %}"
    config = Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=24, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8,
    )  # fmt: skip
    transformer = ZImageTransformer2DModel(
        dim=16, n_layers=1, n_refiner_layers=1, n_heads=2, n_kv_heads=2, cap_feat_dim=24, axes_dims=[2, 2, 4],
        axes_lens=[1024, 64, 64],
    )  # fmt: skip
    for weight in transformer.parameters():
        weight.data *= 2
    ZImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0), vae=autoencoder_kl(16, scaling_factor=0.36, shift_factor=0.11),
        text_encoder=Qwen3Model(config), tokenizer=tokenizer, transformer=transformer,
    ).save_pretrained(folder)  # fmt: skip
    return folder
