"""Stable Diffusion 3 and 3.5, with and without their T5 encoder (Esser et al. 2024, arXiv 2403.03206)."""

import re
from collections.abc import Sequence
from typing import Any

import torch
from diffusers import SchedulerMixin
from torch import Tensor
from torch.nn import functional as F

from pipelines.backbones.families import STABLE_DIFFUSION_3
from pipelines.backbones.flow_matching import FlowSchedule
from pipelines.backbones.prompt_embeds import PromptEmbeds
from pipelines.backbones.t5 import T5Encoder
from pipelines.backbones.text_encoder import TextEncoder
from pipelines.backbones.transformer import TransformerBackbone
from pipelines.prompts import token_names

T5_LENGTH = 256  # tokens, as in diffusers' pipelines


class StableDiffusion3(TransformerBackbone):
    """Two CLIP encoders side by side, their last hidden states but one, padded to T5's width; T5's tokens after them; and
    the pooled embeddings of both. Without T5, zeros stand in its place, as the checkpoints are trained to take it.

    Tokens are learned in both CLIP encoders. T5 reads prompts without their names, so it sees the superclass word alone.
    """

    family = STABLE_DIFFUSION_3

    def __init__(self, pipeline: Any, name: str, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__(pipeline, name, device, dtype)
        t5, tokenizer = pipeline.text_encoder_3, pipeline.tokenizer_3
        self.t5 = None if t5 is None or tokenizer is None else T5Encoder(t5, tokenizer, name, device, T5_LENGTH)
        self.token_words: set[str] = set()  # the names of learned tokens, and of their further vectors

    def offload(self) -> None:
        if self.t5 is not None:
            self.t5.offload = True

    @classmethod
    def read_schedule(cls, scheduler: SchedulerMixin) -> FlowSchedule:
        return FlowSchedule(scheduler, "linspace")

    def open_text_encoders(self, pipeline: Any) -> tuple[TextEncoder, ...]:
        pairs = ((pipeline.text_encoder, pipeline.tokenizer), (pipeline.text_encoder_2, pipeline.tokenizer_2))
        return tuple(TextEncoder(model, tokenizer, self.name, self.device) for model, tokenizer in pairs)

    def set_token(self, name: str, vectors: Sequence[Tensor]) -> None:
        super().set_token(name, vectors)
        self.token_words.update(token_names(name, len(vectors[0])))

    def encode_prompts(self, prompts: Sequence[str]) -> PromptEmbeds:
        outputs = []
        for encoder in self.text_encoders:
            encoder.check(prompts)
            outputs.append(encoder.model(encoder.tokenize(prompts), output_hidden_states=True))
        clip = torch.cat([output.hidden_states[-2] for output in outputs], dim=-1).to(self.dtype)
        width = int(self.denoiser.config.joint_attention_dim)
        if self.t5 is None:
            t5 = torch.zeros(len(clip), T5_LENGTH, width, device=self.device, dtype=self.dtype)
        else:
            t5 = self.t5.encode([self.without_tokens(prompt) for prompt in prompts]).to(self.dtype)
        tokens = torch.cat([F.pad(clip, (0, width - clip.shape[-1])), t5], dim=1)
        return PromptEmbeds(tokens, torch.cat([output.text_embeds for output in outputs], dim=-1).to(self.dtype))

    def without_tokens(self, prompt: str) -> str:
        """A prompt without the names of learned tokens, in whatever case, as CLIP reads them: 'a photo of a shoe'."""
        for word in sorted(self.token_words, key=len, reverse=True):  # <boot>_1 before <boot>
            prompt = re.sub(f"{re.escape(word)} ?", "", prompt, flags=re.IGNORECASE)
        return prompt

    def predict(
        self,
        xt: Tensor,
        t: Tensor,
        prompt_embeds: PromptEmbeds,
        image_embeds: Tensor | None = None,
        image_scale: Tensor | None = None,
        guidance: Tensor | None = None,
    ) -> Tensor:
        prediction: Tensor = self.denoiser(
            hidden_states=xt.to(self.dtype),
            encoder_hidden_states=prompt_embeds.tokens,
            pooled_projections=prompt_embeds.pooled,
            timestep=t,
        ).sample
        return prediction.float()
