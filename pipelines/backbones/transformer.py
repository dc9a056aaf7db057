"""What checkpoints with a transformer share, in which the tokens of text and image attend to each other (MM-DiT, Esser et
al. 2024, arXiv 2403.03206)."""

from typing import Any

import torch

from pipelines.backbones.backbone import Backbone
from pipelines.backbones.feature_cache import FeatureCache
from pipelines.backbones.transformer_cache import TransformerCache


class TransformerBackbone(Backbone):
    """Parts of images are repainted by blending latents: there are no further input channels, and no image prompts.

    In training, each block is computed again for its gradients: the activations of all of them would not fit beside the
    weights.
    """

    component = "transformer"
    lora_targets = (*Backbone.lora_targets, "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")

    def __init__(self, pipeline: Any, name: str, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__(pipeline, name, device, dtype)
        self.denoiser.enable_gradient_checkpointing()

    def feature_cache(self) -> FeatureCache:
        return TransformerCache(self.denoiser)
