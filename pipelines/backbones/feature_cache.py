"""Deep features of a UNet, kept from some steps for others (DeepCache, Ma et al. 2024, arXiv 2312.00858).

They change little, and evenly, with the steps. The last layer of the UNet takes them, beside the output of the first
convolution, which a skip connection leads past all that lies between: where features are recalled, those two run alone.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from copy import copy
from typing import Any, Protocol

import torch
from torch import Tensor, nn

NOTHING = torch.empty(0)


class Recorded(Protocol):
    features: Tensor  # of the forward, a row for each of its batch


class FeatureCache(Protocol):
    """Of a denoiser, whose own forward runs with other blocks inside of these contexts. It keeps no features."""

    def recording(self) -> AbstractContextManager[Recorded]:
        """Inside the block a forward leaves its deep features with what is yielded."""

    def recalling(self, features: Tensor) -> AbstractContextManager[None]:
        """Inside the block a forward takes these deep features, a row for each of its batch."""


class Recorder(nn.Module):
    """The last residual block, and the deep features that it was given, (n, c, h, w): its input without the skip's."""

    def __init__(self, resnet: nn.Module, skip_channels: int) -> None:
        super().__init__()
        self.resnet, self.skip_channels, self.features = resnet, skip_channels, NOTHING

    def forward(self, x: Tensor, time_embedding: Tensor) -> Any:
        self.features = x[:, : -self.skip_channels].clone()
        return self.resnet(x, time_embedding)


class Recall(nn.Module):
    """In place of all deeper blocks: gives the deep features that are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.features = NOTHING

    def forward(self, x: Tensor, time_embedding: Tensor) -> Tensor:
        return self.features


class UNetCache:
    """Of diffusers' UNet2DConditionModel."""

    def __init__(self, unet: Any) -> None:
        self.unet, self.recall = unet, Recall()
        block = unet.up_blocks[-1]
        self.recorder = Recorder(block.resnets[-1], unet.conv_in.out_channels)
        self.last_layer = copy(block)
        lists = {name: getattr(block, name)[-1:] for name in ("resnets", "attentions") if hasattr(block, name)}
        self.last_layer._modules = {**block._modules, **lists}

    @contextmanager
    def recording(self) -> Iterator[Recorder]:
        """Inside the block a forward leaves its deep features with the recorder."""
        resnets = self.unet.up_blocks[-1].resnets
        resnets[-1] = self.recorder
        try:
            yield self.recorder
        finally:
            resnets[-1], self.recorder.features = self.recorder.resnet, NOTHING

    @contextmanager
    def recalling(self, features: Tensor) -> Iterator[None]:
        """Inside the block a forward takes these deep features, a row for each of its batch."""
        unet = self.unet
        blocks = unet.down_blocks, unet.mid_block, unet.up_blocks
        self.recall.features = features
        unet.down_blocks, unet.mid_block, unet.up_blocks = nn.ModuleList(), self.recall, nn.ModuleList([self.last_layer])
        try:
            yield
        finally:
            unet.down_blocks, unet.mid_block, unet.up_blocks = blocks
            self.recall.features = NOTHING
