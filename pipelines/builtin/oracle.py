"""The oracle: an independent classifier of Fashion Scenes, trained on renders alone, to recognise garment, colour and scene.

It measures the methods on built-in sources; no method or filter uses it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import ResNetForImageClassification

from pipelines.builtin.checkpoints import resolve
from pipelines.records import Image
from pipelines.tensors import tensor


def enlarged(x: Tensor) -> Tensor:
    """Pictures (n, 3, h, w) upsampled by two: a ResNet's stem downsamples by four, which loses small heels."""
    return F.interpolate(x, scale_factor=2, mode="bilinear")


class Oracle:
    def __init__(self) -> None:
        self.model = ResNetForImageClassification.from_pretrained(resolve("builtin", "oracle"), dtype=torch.float32).eval()

    @torch.inference_mode()
    def garments(self, images: Sequence[Image], among: Sequence[str]) -> list[str]:
        """The most probable of the garments `among` in each image."""
        columns = [self.model.config.label2id[f"garment: {name}"] for name in among]
        batches = [self.model(enlarged(tensor(images[i : i + 256]))).logits[:, columns] for i in range(0, len(images), 256)]
        return [among[int(row)] for batch in batches for row in batch.argmax(dim=1)]
