"""Reading a UNet's cross-attention: how much each cell of the picture looks at a word."""

from typing import Any

import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor
from torch.nn import functional as F

from pipelines.diffusion.model import DiffusionModel
from pipelines.diffusion.solver import levels, noised

TIMESTEPS = (200, 400)  # where the outline of things is decided


class Recorder:
    """An attention processor that computes probabilities explicitly and keeps those of cross-attention."""

    def __init__(self) -> None:
        self.maps: list[Tensor] = []  # each (n, heads, cells, tokens)

    def __call__(
        self, attn: Attention, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, **_: Any
    ) -> Tensor:
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query = attn.head_to_batch_dim(attn.to_q(hidden_states))
        key, value = attn.head_to_batch_dim(attn.to_k(context)), attn.head_to_batch_dim(attn.to_v(context))
        probabilities = attn.get_attention_scores(query, key, None)
        if encoder_hidden_states is not None:
            self.maps.append(probabilities.unflatten(0, (-1, attn.heads)))
        mixed: Tensor = attn.to_out[0](attn.batch_to_head_dim(torch.bmm(probabilities, value)))
        return mixed


@torch.no_grad()
def word_attention(model: DiffusionModel, pictures: Tensor, prompt: str, word: str) -> Tensor:
    """Mean attention of the pictures' cells to `word` in `prompt`: float32 (n, h, w) at the pictures' size."""
    ids = model.token_ids([prompt])[0].tolist()
    spelled = model.tokenizer(word, add_special_tokens=False).input_ids
    columns = [i for i, token in enumerate(ids) if token in spelled]
    latents = model.encode(pictures)
    context = model.read([prompt]).expand(len(latents), -1, -1)
    # The same noise for every picture, so that an answer does not depend on what else is asked.
    eps = torch.randn(latents.shape[1:], generator=torch.Generator().manual_seed(0)).to(latents).expand_as(latents)
    usual = dict(model.unet.attn_processors)
    recorder = Recorder()
    model.unet.set_attn_processor(recorder)
    try:
        for t in TIMESTEPS:
            abar = levels([float(model.schedule.alphas_cumprod[t])], latents)
            model.predict(noised(latents, eps, abar), torch.full((len(latents),), t, device=latents.device), context)
    finally:
        model.unet.set_attn_processor(usual)
    finest = max(m.shape[2] for m in recorder.maps)
    side = int(finest**0.5)
    chosen = torch.stack([m[..., columns].sum(-1).mean(1) for m in recorder.maps if m.shape[2] == finest]).mean(0)
    return F.interpolate(chosen.view(-1, 1, side, side).float(), pictures.shape[-2:], mode="bicubic")[:, 0]
