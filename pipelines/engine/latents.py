"""Latents of init images, kept by what is in the image: attempts at a planned image share its source, and few-shot sources
are painted over many times."""

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
import torch
from torch import Tensor

from pipelines.backbones.backbone import Backbone
from pipelines.engine.capacity import Capacity
from pipelines.records import Image, Mask
from pipelines.tensors import mask_tensor, tensor

KEPT = 256  # those that were used last: an attempt that is dropped comes back within a few times the capacity

Known = tuple[Image, Mask | None]  # an image, and what of it is painted: grey there


class SourceLatents:
    def __init__(self, backbone: Backbone, fitting: Capacity) -> None:
        self.backbone, self.fitting = backbone, fitting
        self.kept: OrderedDict[bytes, Tensor] = OrderedDict()  # (channels, h, w), by `address`

    def encode(self, images: Sequence[Known]) -> Tensor:
        """Latents of images of one size, (n, channels, h, w), n > 0: those that are not kept are encoded together."""
        addresses = [address(image) for image in images]
        new = {key: image for key, image in zip(addresses, images, strict=True) if key not in self.kept}
        if new:
            todo, factor = list(new.values()), self.backbone.vae_scale_factor
            height, width = todo[0][0].shape[:2]
            size = height // factor, width // factor
            encoded = self.fitting.map(
                lambda part: self.backbone.encode_images(torch.cat([pixels(image) for image in todo[part]])), len(todo), size
            )
            self.kept |= dict(zip(new, encoded.clone().unbind(), strict=True))
        for key in addresses:
            self.kept.move_to_end(key)
        latents = torch.stack([self.kept[key] for key in addresses])
        while len(self.kept) > KEPT:
            self.kept.popitem(last=False)
        return latents


def address(image: Known) -> bytes:
    known, painted = image
    digest = blake2b(repr(known.shape).encode(), digest_size=16)
    digest.update(known.tobytes())
    if painted is not None:
        digest.update(np.packbits(painted).tobytes())
    return digest.digest()


def pixels(image: Known) -> Tensor:
    """(1, 3, h, w) in -1..1, 0 where it is painted."""
    known, painted = image
    return tensor([known]) if painted is None else tensor([known]) * (1 - mask_tensor([painted]))
