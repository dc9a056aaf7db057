"""Stable Diffusion 1.x and 2.x, plain and inpainting, and unCLIP checkpoints (arXiv 2112.10752)."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from pipelines.backbones.families import STABLE_DIFFUSION
from pipelines.backbones.prompt_embeds import PromptEmbeds
from pipelines.backbones.text_encoder import TextEncoder
from pipelines.backbones.unet import UNetBackbone


class StableDiffusion(UNetBackbone):
    """One text encoder, its last hidden states."""

    family = STABLE_DIFFUSION

    def open_text_encoders(self, pipeline: Any) -> tuple[TextEncoder, ...]:
        return (TextEncoder(pipeline.text_encoder, pipeline.tokenizer, self.name, self.device),)

    def encode_prompts(self, prompts: Sequence[str]) -> PromptEmbeds:
        (encoder,) = self.text_encoders
        encoder.check(prompts)
        return PromptEmbeds(encoder.model(encoder.tokenize(prompts))[0].to(self.dtype))

    def prompt_arguments(self, prompt_embeds: PromptEmbeds, xt: Tensor) -> dict[str, Any]:
        return {}
