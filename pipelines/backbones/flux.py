"""Flux: FLUX.1 dev, schnell and their kin (Black Forest Labs 2024)."""

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import SchedulerMixin
from torch import Tensor

from pipelines.backbones.families import FLUX
from pipelines.backbones.flow_matching import FlowSchedule
from pipelines.backbones.layout import FLUX_PATCH as PATCH
from pipelines.backbones.prompt_embeds import PromptEmbeds
from pipelines.backbones.t5 import T5Encoder
from pipelines.backbones.text_encoder import TextEncoder
from pipelines.backbones.transformer import TransformerBackbone

T5_LENGTH = 512  # tokens, as in diffusers' pipelines


class Flux(TransformerBackbone):
    """T5's tokens, and CLIP's pooled embedding; the latents go in packed, four cells to a patch.

    Guidance is distilled (Meng et al. 2023, arXiv 2210.03142): dev takes the scale as an input, schnell takes none. At scale
    1, dev predicts what it was distilled from without guidance, so that is what LoRAs are trained at.
    """

    family = FLUX
    classifier_free = False

    def __init__(self, pipeline: Any, name: str, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__(pipeline, name, device, dtype)
        self.clip = TextEncoder(pipeline.text_encoder, pipeline.tokenizer, name, device)
        self.t5 = T5Encoder(pipeline.text_encoder_2, pipeline.tokenizer_2, name, device, T5_LENGTH)

    def offload(self) -> None:
        self.t5.offload = True

    @classmethod
    def read_schedule(cls, scheduler: SchedulerMixin) -> FlowSchedule:
        return FlowSchedule(scheduler, "trailing")

    def open_text_encoders(self, pipeline: Any) -> tuple[TextEncoder, ...]:
        return ()

    def encode_prompts(self, prompts: Sequence[str]) -> PromptEmbeds:
        tokens = self.t5.encode(prompts).to(self.dtype)  # CLIP reads the beginning of a prompt that is too long for it
        return PromptEmbeds(tokens, self.clip.model(self.clip.tokenize(prompts)).pooler_output.to(self.dtype))

    def predict(
        self,
        xt: Tensor,
        t: Tensor,
        prompt_embeds: PromptEmbeds,
        image_embeds: Tensor | None = None,
        image_scale: Tensor | None = None,
        guidance: Tensor | None = None,
    ) -> Tensor:
        height, width = xt.shape[-2] // PATCH, xt.shape[-1] // PATCH
        if self.denoiser.config.guidance_embeds:
            guidance = torch.ones(len(xt), device=self.device) if guidance is None else guidance
        else:
            guidance = None
        prediction: Tensor = self.denoiser(
            hidden_states=pack(xt.to(self.dtype)),
            encoder_hidden_states=prompt_embeds.tokens,
            pooled_projections=prompt_embeds.pooled,
            timestep=t / 1000,
            guidance=guidance,
            txt_ids=torch.zeros(prompt_embeds.tokens.shape[1], 3, device=self.device),
            img_ids=positions(height, width, self.device),
        ).sample
        return unpack(prediction.float(), height, width)


def pack(latents: Tensor) -> Tensor:
    """(n, c, 2h, 2w) to patches (n, hw, 4c)."""
    return latents.unfold(2, PATCH, PATCH).unfold(3, PATCH, PATCH).permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)


def unpack(patches: Tensor, height: int, width: int) -> Tensor:
    """Patches (n, hw, 4c) to (n, c, 2h, 2w)."""
    cells = patches.view(len(patches), height, width, -1, PATCH, PATCH)
    return cells.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)


def positions(height: int, width: int, device: torch.device) -> Tensor:
    """Row and column of every patch, for rotary embeddings: float32 (hw, 3), the first number 0."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([torch.zeros_like(rows), rows, columns], dim=-1).flatten(0, 1).float().to(device)
