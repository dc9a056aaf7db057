"""The attributes that are suspected, as one table: how each is described by numbers, and exchanged between two images.

What is exchanged is the attribute alone: the object keeps its shape, and mostly its pixels. Compression and blur can be
added, not taken away, so of two images that differ the better one changes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipelines.discovery.foreground import frame
from pipelines.discovery.picture import Picture
from pipelines.discovery.sharpness import compressed, softened
from pipelines.records import Image, Mask

Row = NDArray[np.float64]
Exchange = Callable[[Picture, Picture], Image]  # the first image with an attribute of the second
BORDER = 1 / 8  # of the side: the width of the border
CELLS = 8  # a side, whose mean colours describe the border
GAIN = 8.0  # of a channel, at most


@dataclass(frozen=True, slots=True)
class Attribute:
    """One thing beside the object that an image may come with."""

    title: str
    describe: Callable[[Picture], Row]  # numbers that foretell the class where the two go together
    exchange: Exchange
    core: Exchange | None = None  # what must have an effect of its own, between donors of like compression and sharpness
    within: str | None = None  # the attribute that it is a part of: suspected only where that one is not


def pasted(image: Image, other: Image, where: Mask) -> Image:
    return np.where(where[..., None], other, image)


def with_border(picture: Picture, donor: Picture) -> Image:
    return pasted(picture.image, donor.background, frame(len(picture.image), BORDER) & ~picture.outline)


def with_inside(picture: Picture, donor: Picture) -> Image:
    """With the donor's background, but for its border."""
    return pasted(picture.image, donor.background, ~frame(len(picture.image), BORDER) & ~picture.outline)


def with_background(picture: Picture, donor: Picture) -> Image:
    return pasted(picture.image, donor.background, ~picture.outline)


def chroma(picture: Picture) -> Row:
    """The share of each channel in the colour of the object: of the half of its pixels that differ most from what is around.

    What lies between the parts of an object would tell its shape.
    """
    pixels = picture.image + 1.0
    shares = pixels / pixels.sum(axis=2, keepdims=True)
    own = shares[picture.region]
    away = np.abs(own - shares[picture.around].mean(axis=0)).sum(axis=1)
    return np.asarray(own[away >= np.median(away)].mean(axis=0))


def with_colour(picture: Picture, donor: Picture) -> Image:
    """With the hue of the donor's object, in its own light and shade: brightness may belong to a class."""
    gain = np.clip(chroma(donor) / chroma(picture), 1 / GAIN, GAIN)
    changed = picture.image * gain
    before, after = picture.image[picture.region].mean(), changed[picture.region].mean()
    changed = (changed * (before + 1) / (after + 1)).round().clip(0, 255).astype(np.uint8)
    return pasted(picture.image, changed, picture.region)


def with_position(picture: Picture, donor: Picture) -> Image:
    """Moved until its object is where the donor's is, on its own background."""
    rows, columns = np.round((donor.centre - picture.centre) * len(picture.image)).astype(int).tolist()
    moved = ndimage.shift(picture.image, (rows, columns, 0), order=0, mode="constant")
    inside = ndimage.shift(np.ones(picture.region.shape), (rows, columns), order=0, mode="constant") > 0
    return pasted(picture.background, moved, inside)


def with_compression(picture: Picture, donor: Picture) -> Image:
    quality = donor.quality
    if quality is None or (picture.quality is not None and picture.quality <= quality):
        return picture.image
    return compressed(picture.image, quality)


def with_blur(picture: Picture, donor: Picture) -> Image:
    """Of images that were compressed alike: compression blurs, too."""
    if picture.quality != donor.quality:
        return picture.image
    return softened(picture.image, picture.around, donor.sharpness)


def details(image: Image) -> Row:
    """Logarithms of the energy of finer and coarser details."""
    layers = [image.mean(axis=2), *(ndimage.gaussian_filter(image.mean(axis=2), sigma) for sigma in (0.8, 1.6, 3.2))]
    energies = [((fine - coarse) ** 2).mean() for fine, coarse in pairwise(layers)]
    return np.log(np.array(energies) + 0.3)


def describe_border(picture: Picture) -> Row:
    """Mean colours of the cells along the border."""
    side = len(picture.image) // CELLS * CELLS
    cells = picture.background[:side, :side].reshape(CELLS, side // CELLS, CELLS, side // CELLS, 3).mean(axis=(1, 3))
    return np.asarray(cells[frame(CELLS, 1 / CELLS)].ravel(), np.float64)


def describe_background(picture: Picture) -> Row:
    """Mean and deviation of each channel, and details, but for the border."""
    width = round(len(picture.image) * BORDER)
    inner = picture.background[width:-width, width:-width]
    return np.concatenate([inner.mean(axis=(0, 1)), inner.std(axis=(0, 1)), details(inner)])


def describe_colour(picture: Picture) -> Row:
    shares = chroma(picture)
    return np.concatenate([shares, shares**2])


def describe_position(picture: Picture) -> Row:
    away = picture.centre - 0.5
    return np.concatenate([away, away**2])


def describe_compression(picture: Picture) -> Row:
    quality = 1.0 if picture.quality is None else picture.quality / 100
    return np.array([quality, quality**2])


def describe_blur(picture: Picture) -> Row:
    return np.array([picture.sharpness, picture.sharpness**2])


ATTRIBUTES: dict[str, Attribute] = {
    "background": Attribute("what surrounds the object", describe_background, with_background, with_inside),
    "border": Attribute("the border of the image", describe_border, with_border, with_border, within="background"),
    "colour": Attribute("the hue of the object", describe_colour, with_colour),
    "position": Attribute("where the object is", describe_position, with_position),
    "compression": Attribute("how strongly the image is compressed", describe_compression, with_compression),
    "blur": Attribute("how sharp the image is", describe_blur, with_blur),
}
