"""An image taken apart: its object, what surrounds it, how it was compressed and how sharp it is."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipelines.discovery.foreground import background, foreground
from pipelines.discovery.sharpness import jpeg_quality, sharpness
from pipelines.records import Image, Item, Mask

APART = 1 / 21  # of the side: how far from the object sharpness is measured


@dataclass(frozen=True)
class Picture:
    """A square image of a class and the region of its object; what else is needed is computed when it first is."""

    item: Item
    target: int  # number of its class
    image: Image  # (side, side, 3)
    region: Mask  # (side, side)

    @classmethod
    def of(cls, item: Item, target: int, image: Image) -> Self:
        return cls(item, target, image, foreground(image))

    @cached_property
    def outline(self) -> Mask:
        """The object, a little widened: what keeps its own pixels when the surroundings change."""
        return np.asarray(ndimage.binary_dilation(self.region))

    @cached_property
    def around(self) -> Mask:
        """Some way from the object, whose own details tell its class; everywhere where that is hardly anything."""
        wide = ndimage.binary_dilation(self.region, iterations=max(1, round(len(self.image) * APART)))
        return ~wide if wide.mean() < 0.95 else np.ones_like(self.region)

    @cached_property
    def background(self) -> Image:
        """Without its object."""
        return background(self.image, self.region)

    @cached_property
    def centre(self) -> NDArray[np.float64]:
        """Of the object: row and column, 0..1."""
        return np.array(ndimage.center_of_mass(self.region)) / len(self.image)

    @cached_property
    def quality(self) -> int | None:
        return jpeg_quality(self.image)

    @cached_property
    def sharpness(self) -> float:
        return sharpness(self.image, self.around)
