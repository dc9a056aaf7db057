"""What checkpoints with a UNet share: diffusion, inpainting by further input channels, and image prompts."""

from abc import abstractmethod
from functools import cached_property
from typing import Any

import torch
from diffusers import SchedulerMixin
from torch import Tensor

from pipelines.backbones.adapter_files import AdapterFiles
from pipelines.backbones.backbone import Backbone
from pipelines.backbones.diffusion import DiffusionSchedule
from pipelines.backbones.feature_cache import FeatureCache, UNetCache
from pipelines.backbones.image_prompts import IpAdapter, UnClip
from pipelines.backbones.negative_merging import NegativeMerging
from pipelines.backbones.prompt_embeds import PromptEmbeds


class UNetBackbone(Backbone):
    """A UNet with cross-attention to the prompt."""

    component = "unet"
    schedule: DiffusionSchedule

    def __init__(self, pipeline: Any, name: str, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__(pipeline, name, device, dtype)
        if hasattr(pipeline, "image_normalizer") and hasattr(pipeline, "image_encoder"):
            self.image_conditioning = UnClip(pipeline, device)
        if device.type == "cpu":
            self.denoiser.to(memory_format=torch.channels_last)

    @classmethod
    def read_schedule(cls, scheduler: SchedulerMixin) -> DiffusionSchedule:
        return DiffusionSchedule.of(scheduler)

    def feature_cache(self) -> FeatureCache:
        return UNetCache(self.denoiser)

    @cached_property
    def negative_merging(self) -> NegativeMerging:
        return NegativeMerging(self.denoiser, self.compiled)

    @abstractmethod
    def prompt_arguments(self, prompt_embeds: PromptEmbeds, xt: Tensor) -> dict[str, Any]:
        """What the UNet takes beside latents, timesteps and the embeddings of tokens."""

    def load_ip_adapter(self, files: AdapterFiles) -> IpAdapter | UnClip:
        """Condition on image prompts by an IP-Adapter, unless the checkpoint is an unCLIP one. Raises ModelError."""
        if self.image_conditioning is None:
            self.image_conditioning = IpAdapter(self.denoiser, files, self.device)
        return self.image_conditioning

    def predict(
        self,
        xt: Tensor,
        t: Tensor,
        prompt_embeds: PromptEmbeds,
        image_embeds: Tensor | None = None,
        image_scale: Tensor | None = None,
        guidance: Tensor | None = None,
    ) -> Tensor:
        xt = xt.to(self.dtype)
        if self.device.type == "cpu":
            xt = xt.contiguous(memory_format=torch.channels_last)
        arguments = self.prompt_arguments(prompt_embeds, xt)
        if self.image_conditioning is not None:
            more = self.image_conditioning.unet_arguments(image_embeds, len(xt), image_scale)
            added = {**arguments.get("added_cond_kwargs", {}), **more.pop("added_cond_kwargs", {})}
            arguments = {**arguments, **more, **({"added_cond_kwargs": added} if added else {})}
        prediction: Tensor = self.denoiser(xt, t, prompt_embeds.tokens, **arguments).sample
        return prediction.float()
