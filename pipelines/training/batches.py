"""Training batches of a classifier: drawn at random from labelled images, mirrored and displaced."""

import copy
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipelines.records import Examples, Image

SHIFT = 1 / 16  # of the image's side: the largest random displacement


class Feed:
    """Draws augmented batches; a `share` of each is drawn from `twins`, other versions of the same images, if given."""

    def __init__(
        self, examples: Examples, classes: Sequence[str], twins: Sequence[Image] | None = None, share: float = 0.5
    ) -> None:
        self.examples, self.share, self.twinned = examples, share, twins is not None
        images = np.stack([*examples.images, *(twins or ())])
        self.side, self.pixels = images.shape[1], packed(images)  # the twins behind the images
        self.targets = torch.tensor([classes.index(label) for label in examples.labels])
        self.weights: Tensor | None = None  # how often each image is drawn, in relation; None: all as often

    def weighted(self, weights: Tensor) -> "Feed":
        """The same images, drawn as often as `weights` (n,) say."""
        feed = copy.copy(self)
        feed.weights = weights
        return feed

    def rows(self, count: int, generator: torch.Generator) -> Tensor:
        """Numbers of images drawn with replacement: int64 (count,)."""
        if self.weights is None:
            return torch.randint(len(self.targets), (count,), generator=generator)
        return torch.multinomial(self.weights, count, replacement=True, generator=generator)

    def batch(self, rows: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """These images, augmented: float32 (count, 3, h, w) in -1..1, and class numbers (count,)."""
        images = rows
        if self.twinned:
            images = rows + len(self.targets) * (torch.rand(len(rows), generator=generator) < self.share)
        places = displaced(images, self.side, generator)
        pixels = self.pixels[places.flatten()].view(torch.uint8).view(*places.shape, 4)[..., :3]
        return (pixels.float() / 127.5 - 1).permute(0, 3, 1, 2), self.targets[rows]

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """float32 (count, 3, h, w) in -1..1, and class numbers (count,)."""
        return self.batch(self.rows(count, generator), generator)


def packed(images: NDArray[np.uint8]) -> Tensor:
    """The pixels of images (n, side, side, 3) in one list, int32 (n side side,): red, green, blue and a spare byte.

    One number is fetched faster than three.
    """
    return torch.from_numpy(np.pad(images, ((0, 0), (0, 0), (0, 0), (0, 1)))).view(torch.int32).flatten()


def augment(x: Tensor, generator: torch.Generator) -> Tensor:
    """Square images (n, channels, side, side), mirrored half of the time and displaced; edges are reflected."""
    count, channels, side = x.shape[:3]
    places = displaced(torch.arange(count), side, generator)
    pixels = x.permute(0, 2, 3, 1).reshape(-1, channels)[places.flatten()]
    return pixels.view(count, side, side, channels).permute(0, 3, 1, 2)


def displaced(images: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Where each pixel of augmented images comes from, int64 (n, side, side): its place in the list of all pixels of images
    of that side, of which `images` (n,) are drawn."""
    count = len(images)
    mirror = torch.randint(2, (count, 1), generator=generator).bool()
    shift = torch.round((torch.rand(count, 2, 1, generator=generator) * 2 - 1) * SHIFT * side).long()
    here = torch.arange(side)
    columns = reflected(torch.where(mirror, here, side - 1 - here) + shift[:, 0], side)
    rows = reflected(here + shift[:, 1], side)
    return (images[:, None, None] * side + rows[:, :, None]) * side + columns[:, None, :]


def reflected(place: Tensor, side: int) -> Tensor:
    """Places beside a row of `side` pixels as those that they mirror."""
    return torch.where(place < 0, -1 - place, torch.where(place >= side, 2 * side - 1 - place, place))
