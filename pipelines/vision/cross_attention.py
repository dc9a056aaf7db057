"""Maps of a UNet's cross-attention: how much each cell of an image attends to a word of the prompt."""

from typing import Any

import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor
from torch.nn import functional as F

from pipelines.backbones.layout import VAE_PIXELS
from pipelines.backbones.prompt_embeds import PromptEmbeds
from pipelines.backbones.schedule import Levels, add_noise
from pipelines.backbones.unet import UNetBackbone

TIMESTEPS = (200, 400)  # of 1,000: where the outlines of objects are decided


class AttentionRecorder:
    """An attention processor that keeps how much each cell attends to some tokens of the prompt; the rest as usual."""

    def __init__(self, columns: list[int]) -> None:
        self.columns = columns  # places of the tokens
        self.maps: list[Tensor] = []  # each float32 (n, cells): summed over the tokens, averaged over heads

    def __call__(
        self, attn: Attention, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, **_: Any
    ) -> Tensor:
        keys = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (
            part.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for part in (attn.to_q(hidden_states), attn.to_k(keys), attn.to_v(keys))
        )  # (n, heads, cells or tokens, width)
        if encoder_hidden_states is not None:
            probabilities = (query @ key.transpose(-1, -2) * attn.scale).float().softmax(dim=-1)
            self.maps.append(probabilities[..., self.columns].sum(-1).mean(1))
        attended = F.scaled_dot_product_attention(query, key, value, scale=attn.scale)
        output: Tensor = attn.to_out[0](attended.transpose(1, 2).flatten(-2))
        return output


@torch.no_grad()
def word_attention(backbone: UNetBackbone, pixels: Tensor, prompt: str, word: str) -> Tensor:
    """Mean attention to `word` in `prompt` of images (n, 3, h, w) in -1..1: float32 (n, h, w)."""
    encoder = backbone.text_encoders[0]  # where there are two, the second has the same tokens
    ids = encoder.tokenize([prompt])[0].tolist()
    word_ids = encoder.tokenizer(word, add_special_tokens=False).input_ids
    columns = [i for i, token in enumerate(ids) if token in word_ids]
    embeds = backbone.encode_prompts([prompt])
    parts = torch.split(pixels, max(1, VAE_PIXELS // pixels[0, 0].numel()))
    return torch.cat([maps(backbone, part, embeds, columns) for part in parts])


def maps(backbone: UNetBackbone, pixels: Tensor, prompt_embeds: PromptEmbeds, columns: list[int]) -> Tensor:
    """Mean attention of a few images to some tokens: float32 (n, h, w)."""
    latents = backbone.encode_images(pixels)
    # The same noise for every image, so that a map does not depend on the rest of the batch.
    eps = torch.randn(latents.shape[1:], generator=torch.Generator().manual_seed(0)).to(latents).expand_as(latents)
    processors, recorder = dict(backbone.denoiser.attn_processors), AttentionRecorder(columns)
    backbone.denoiser.set_attn_processor(recorder)
    try:
        for t in TIMESTEPS:
            timesteps = torch.full((len(latents),), t, device=latents.device)
            noised = add_noise(latents, eps, Levels.of([backbone.schedule.level(t)], latents))
            backbone.predict(backbone.everywhere(noised), timesteps, prompt_embeds.expand(len(latents)))
    finally:
        backbone.denoiser.set_attn_processor(processors)
    finest = max(attention.shape[1] for attention in recorder.maps)
    side = int(finest**0.5)
    mean = torch.stack([attention for attention in recorder.maps if attention.shape[1] == finest]).mean(0)
    return F.interpolate(mean.view(-1, 1, side, side), pixels.shape[-2:], mode="bicubic")[:, 0]
