"""The image classifier: a transformers ResNet, small and from scratch, or any checkpoint."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import ResNetConfig, ResNetForImageClassification

from pipelines import spec
from pipelines.backbones.locate import CLASSIFIER, locate
from pipelines.errors import ModelError
from pipelines.progress import step
from pipelines.records import Image
from pipelines.tensors import tensor

FIELD = "classifier.checkpoint"
LARGEST = 224  # pixels a side of what a network sees that has no size of its own: most are trained at that
SMALL = ResNetConfig(embedding_size=24, hidden_sizes=[24, 48, 96], depths=[1, 1, 1], layer_type="basic")


class Classifier(nn.Module):
    """Logits over `classes` for pictures in -1..1; resized and normalised for the network inside."""

    mean: Tensor
    std: Tensor

    def __init__(self, classes: Sequence[str], checkpoint: str | None = None, resolution: int | None = None) -> None:
        """At `resolution`, pixels a side, it sees pictures; None: what its checkpoint says, else their own, at most 224."""
        super().__init__()
        self.classes = tuple(classes)
        mean, std, self.side = [0.5] * 3, [0.5] * 3, resolution
        if checkpoint is None:
            config = ResNetConfig.from_dict({**SMALL.to_dict(), "num_labels": len(self.classes)})
            self.net: nn.Module = ResNetForImageClassification(config)
        else:
            processor = preprocessing(checkpoint)
            options: dict[str, Any] = {"num_labels": len(self.classes), "ignore_mismatched_sizes": True}
            self.net = pretrained(transformers.AutoModelForImageClassification, checkpoint, **options)
            mean, std = processor.image_mean, processor.image_std
            self.side = resolution or own_side(processor)
        self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a third faster on a CPU
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def forward(self, pictures: Tensor) -> Tensor:
        """float32 (n, 3, h, w) in -1..1 to logits (n, classes). Every call is a step of the work."""
        step()
        side = self.side or min(pictures.shape[-1], LARGEST)
        if pictures.shape[-1] != side:
            pictures = F.interpolate(pictures, (side, side), mode="bilinear", antialias=True)
        normal = (((pictures + 1) / 2 - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        logits: Tensor = self.net(normal).logits
        return logits

    def features_and_logits(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """The same with what the last layer is given: features (n, width), and logits (n, classes)."""
        parts: list[Tensor] = []
        hook = self.last_layer.register_forward_pre_hook(lambda _, inputs: parts.append(inputs[0]))
        try:
            logits = self(pictures)
        finally:
            hook.remove()
        return parts[0], logits

    def train_head(self, *, anew: bool) -> None:
        """From here on, train the head alone, with frozen batch statistics; `anew` draws new weights for it first."""
        self.eval()
        self.requires_grad_(False)
        head = self.net.get_submodule("classifier").requires_grad_(True).train()
        for layer in head.modules() if anew else ():
            if isinstance(layer, nn.Linear):
                layer.reset_parameters()

    @property
    def last_layer(self) -> nn.Linear:
        """The linear layer that gives the logits."""
        return [layer for layer in self.net.get_submodule("classifier").modules() if isinstance(layer, nn.Linear)][-1]

    @torch.no_grad()
    def set_head(self, weights: Tensor, biases: Tensor) -> None:
        """Give the last layer these weights (classes, width) and biases (classes,)."""
        self.last_layer.weight.copy_(weights)
        self.last_layer.bias.copy_(biases)

    def features(self, images: Sequence[Image]) -> Tensor:
        """Features of images, the input of the last layer, in evaluation mode: float32 (n, width), on the CPU."""
        parts: list[Tensor] = []
        hook = self.last_layer.register_forward_pre_hook(lambda _, inputs: parts.append(inputs[0].cpu()))
        try:
            self.scores(images)
        finally:
            hook.remove()
        return torch.cat(parts)

    @torch.no_grad()
    def scores(self, images: Sequence[Image], batch: int = 256) -> Tensor:
        """Logits of images in evaluation mode: float32 (n, classes), on the CPU."""
        self.eval()
        device = next(self.parameters()).device
        parts = [self(tensor(images[i : i + batch]).to(device)).cpu() for i in range(0, len(images), batch)]
        return torch.cat(parts) if parts else torch.zeros(0, len(self.classes))


def pretrained(part: Any, checkpoint: str, **options: Any) -> Any:
    """A part of a checkpoint, by the class of transformers that loads it. Raises ModelError.

    Such classes take a second to import, so they are named where a checkpoint is used alone.
    """
    folder = locate(FIELD, checkpoint, CLASSIFIER, weights=True)
    try:
        return part.from_pretrained(folder, **options)
    except (OSError, ValueError) as error:
        raise ModelError(f"{FIELD}: {checkpoint!r} is no image classifier ({error})") from None


def preprocessing(checkpoint: str) -> Any:
    """The size and the normalisation that a checkpoint expects. Raises ModelError."""
    return pretrained(transformers.AutoImageProcessor, checkpoint, use_fast=False)


def own_side(processor: Any) -> int | None:
    """Pixels a side that a checkpoint expects; None where it does not say."""
    side: int | None = processor.size.get("height") or processor.size.get("shortest_edge")
    return side


def training_side(classifier: spec.Classifier, resolution: int) -> int:
    """Pixels a side of the images that a classifier is trained and tested on: as many as it sees, but no more than the
    generator's `resolution`, lest real images be sharper than generated ones. Raises ModelError."""
    own = classifier.resolution
    if own is None and classifier.checkpoint is not None:
        own = own_side(preprocessing(classifier.checkpoint))
    return min(own or LARGEST, resolution)


def probabilities(logits: Tensor) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Softmax in double precision, so that confident rows still differ."""
    return logits.double().softmax(dim=1).numpy()
