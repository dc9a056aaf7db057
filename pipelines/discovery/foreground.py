"""Object and background without a word or a label: colours that the middle has and the border lacks, and the rest.

A coarse GrabCut (Rother, Kolmogorov and Blake 2004): colour histograms of object and background by turns, smoothed scores
instead of a graph cut. An object of its background's colours is missed.
"""

from collections.abc import Iterator

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from scipy import ndimage

from pipelines.records import Image, Mask

SIDE = 64  # pixels a side at which the object is looked for
BINS = 8  # of each colour channel
ROUNDS = 3  # of histograms and masks by turns
BORDER = 1 / 12  # of the side: what is background at first
LEAST, MOST = 0.03, 0.75  # share of the image that an object has; else the middle is taken for it
MARGIN = 1 / 21  # of the side: by which the object is widened when it is taken out


def disc(side: int) -> Mask:
    """The middle of an image, (side, side): half as wide."""
    rows, columns = np.mgrid[0:side, 0:side] / (side - 1) - 0.5
    middle: Mask = rows**2 + columns**2 < 1 / 16
    return middle


def frame(side: int, share: float) -> Mask:
    """The border of an image, (side, side), of this share of the side."""
    width, border = max(1, round(side * share)), np.ones((side, side), np.bool_)
    border[width:-width, width:-width] = False
    return border


def histogram(colours: NDArray[np.int64], where: Mask) -> NDArray[np.float64]:
    counts = np.bincount(colours[where], minlength=BINS**3).reshape((BINS,) * 3).astype(np.float64)
    smoothed = ndimage.gaussian_filter(counts, 0.7, mode="constant").ravel()
    return np.asarray(smoothed / max(1.0, counts.sum()), np.float64)


def largest(mask: Mask) -> Mask:
    """The largest connected part of a mask, without holes."""
    parts, count = ndimage.label(ndimage.binary_opening(mask))
    if not count:
        return np.zeros_like(mask)
    biggest = 1 + np.argmax(np.bincount(parts.ravel())[1:])
    return np.asarray(ndimage.binary_fill_holes(parts == biggest))


def foreground(image: Image) -> Mask:
    """The object of an image (side, side, 3): bool (side, side). Where none stands out, the middle."""
    side = len(image)
    small = image if side == SIDE else np.asarray(PIL.Image.fromarray(image).resize((SIDE, SIDE), PIL.Image.Resampling.BOX))
    smooth = ndimage.gaussian_filter(small.astype(np.float32), (0.7, 0.7, 0))
    red, green, blue = np.moveaxis((smooth * BINS / 256).astype(np.int64), 2, 0)
    colours = (red * BINS + green) * BINS + blue
    middle, border = disc(SIDE), frame(SIDE, BORDER)
    mask, outside = middle, border
    for _ in range(ROUNDS):
        ratio = np.log(histogram(colours, mask) + 1e-3) - np.log(histogram(colours, outside) + 1e-3)
        score = ndimage.gaussian_filter(ratio[colours], 1.5)
        mask = largest(score > 0)
        if not LEAST <= mask.mean() <= MOST:
            mask = middle
            break
        outside = ~mask
    if side == SIDE:
        return mask
    return np.asarray(PIL.Image.fromarray(mask).resize((side, side), PIL.Image.Resampling.NEAREST))


def moves(pixels: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """An image mirrored and moved, from whose background its object's place is filled."""
    side = len(pixels)
    mirrored = pixels, pixels[:, ::-1], pixels[::-1], pixels[::-1, ::-1]
    yield from mirrored[1:]
    for step in (side // 2, side // 3):
        for one in mirrored:
            for axis in (0, 1, (0, 1)):
                yield np.roll(one, step, axis)


def background(image: Image, mask: Mask) -> Image:
    """The image without its object, (side, side, 3): texture from elsewhere in its place."""
    hole = ndimage.binary_dilation(mask, iterations=max(1, round(len(image) * MARGIN)))
    if hole.all():
        return image
    filled, missing = image.copy(), hole.copy()
    for moved in moves(np.dstack([image, hole.astype(np.uint8)])):
        usable = missing & (moved[..., 3] == 0)
        filled[usable] = moved[usable, :3]
        missing &= ~usable
        if not missing.any():
            break
    filled[missing] = np.median(image[~hole], axis=0).astype(np.uint8)
    return filled
