"""Maps of a UNet's cross-attention: how much each cell of an image attends to a word of the prompt."""

from typing import Any

import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor
from torch.nn import functional as F

from pipelines.backbones.schedule import Levels, add_noise
from pipelines.backbones.unet import UNetBackbone

TIMESTEPS = (200, 400)  # of 1,000: where the outlines of objects are decided


class AttentionRecorder:
    """An attention processor that computes probabilities explicitly and keeps those of cross-attention."""

    def __init__(self) -> None:
        self.maps: list[Tensor] = []  # each (n, heads, cells, tokens)

    def __call__(
        self, attn: Attention, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, **_: Any
    ) -> Tensor:
        keys = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query = attn.head_to_batch_dim(attn.to_q(hidden_states))
        key, value = attn.head_to_batch_dim(attn.to_k(keys)), attn.head_to_batch_dim(attn.to_v(keys))
        probabilities = attn.get_attention_scores(query, key, None)
        if encoder_hidden_states is not None:
            self.maps.append(probabilities.unflatten(0, (-1, attn.heads)))
        output: Tensor = attn.to_out[0](attn.batch_to_head_dim(torch.bmm(probabilities, value)))
        return output


@torch.no_grad()
def word_attention(backbone: UNetBackbone, pixels: Tensor, prompt: str, word: str) -> Tensor:
    """Mean attention to `word` in `prompt` of images (n, 3, h, w) in -1..1: float32 (n, h, w)."""
    encoder = backbone.text_encoders[0]  # where there are two, the second has the same tokens
    ids = encoder.tokenize([prompt])[0].tolist()
    word_ids = encoder.tokenizer(word, add_special_tokens=False).input_ids
    columns = [i for i, token in enumerate(ids) if token in word_ids]
    latents = backbone.encode_images(pixels)
    prompt_embeds = backbone.encode_prompts([prompt]).expand(len(latents))
    # The same noise for every image, so that a map does not depend on the rest of the batch.
    eps = torch.randn(latents.shape[1:], generator=torch.Generator().manual_seed(0)).to(latents).expand_as(latents)
    processors = dict(backbone.denoiser.attn_processors)
    recorder = AttentionRecorder()
    backbone.denoiser.set_attn_processor(recorder)
    try:
        for t in TIMESTEPS:
            timesteps = torch.full((len(latents),), t, device=latents.device)
            noised = add_noise(latents, eps, Levels.of([backbone.schedule.level(t)], latents))
            backbone.predict(backbone.everywhere(noised), timesteps, prompt_embeds)
    finally:
        backbone.denoiser.set_attn_processor(processors)
    finest = max(m.shape[2] for m in recorder.maps)
    side = int(finest**0.5)
    maps = torch.stack([m[..., columns].sum(-1).mean(1) for m in recorder.maps if m.shape[2] == finest]).mean(0)
    return F.interpolate(maps.view(-1, 1, side, side).float(), pixels.shape[-2:], mode="bicubic")[:, 0]
