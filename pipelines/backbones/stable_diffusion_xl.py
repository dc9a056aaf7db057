"""Stable Diffusion XL, base and inpainting (arXiv 2307.01952)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pipelines.backbones.families import STABLE_DIFFUSION_XL
from pipelines.backbones.prompt_embeds import PromptEmbeds
from pipelines.backbones.text_encoder import TextEncoder
from pipelines.backbones.unet import UNetBackbone


class StableDiffusionXL(UNetBackbone):
    """Two text encoders side by side, their last hidden states but one; the second's pooled embedding; and the size.

    The size that the UNet is conditioned on is the image's own, uncropped.
    """

    family = STABLE_DIFFUSION_XL

    def __init__(self, pipeline: Any, name: str, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__(pipeline, name, device, dtype)
        self.empty_prompt_is_zero = bool(pipeline.config.get("force_zeros_for_empty_prompt", True))

    def open_text_encoders(self, pipeline: Any) -> tuple[TextEncoder, ...]:
        pairs = ((pipeline.text_encoder, pipeline.tokenizer), (pipeline.text_encoder_2, pipeline.tokenizer_2))
        return tuple(TextEncoder(model, tokenizer, self.name, self.device) for model, tokenizer in pairs)

    def encode_prompts(self, prompts: Sequence[str]) -> PromptEmbeds:
        outputs = []
        for encoder in self.text_encoders:
            encoder.check(prompts)
            outputs.append(encoder.model(encoder.tokenize(prompts), output_hidden_states=True))
        tokens = torch.cat([output.hidden_states[-2] for output in outputs], dim=-1)
        return PromptEmbeds(tokens.to(self.dtype), outputs[-1].text_embeds.to(self.dtype))

    @property
    def unconditional(self) -> PromptEmbeds:
        empty = super().unconditional
        if not self.empty_prompt_is_zero or empty.pooled is None:
            return empty
        return PromptEmbeds(torch.zeros_like(empty.tokens), torch.zeros_like(empty.pooled))

    def prompt_arguments(self, prompt_embeds: PromptEmbeds, xt: Tensor) -> dict[str, Any]:
        height, width = (side * self.vae_scale_factor for side in xt.shape[-2:])
        time_ids = torch.tensor([[height, width, 0, 0, height, width]], device=self.device, dtype=self.dtype)
        return {"added_cond_kwargs": {"text_embeds": prompt_embeds.pooled, "time_ids": time_ids.expand(len(xt), -1)}}
