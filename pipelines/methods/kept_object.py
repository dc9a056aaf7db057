"""An object whose surroundings are drawn anew: in another colour, and in another place of its image."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion

from pipelines.chance import derive
from pipelines.records import Image, Mask
from pipelines.regions import bounds
from pipelines.spec.colours import Rgb

BRIGHTEST = 99.9  # percentile of an object's brightness that has the full colour: a few highlights alone are above it


def recoloured(image: Image, mask: Mask, colour: Rgb) -> Image:
    """The image with its object in a colour: how bright its pixels are in relation to each other stays.

    Brightness is measured along the mean colour of the object's inside: at the edge a pixel shows what is behind it, too.
    """
    inside = binary_erosion(mask)
    own = image[inside if inside.any() else mask].astype(np.float64)
    hue = own.mean(axis=0)
    brightest = max(float(np.percentile(own @ hue, BRIGHTEST)), 1.0)
    shade: NDArray[np.float64] = np.clip(image[mask] @ hue / brightest, 0, 1)
    result = image.copy()
    result[mask] = np.round(shade[:, None] * np.array(colour)).astype(np.uint8)
    return result


def middles(masks: Iterable[Mask]) -> Mask:
    """The smallest rectangle in which the middles of the boxes of one or more masks lie; they are looked at one by one."""
    places = []
    for mask in masks:
        places.append([middle(side) for side in bounds(mask)])
    (top, left), (bottom, right) = np.min(places, axis=0), np.max(places, axis=0)
    rectangle = np.zeros_like(mask)
    rectangle[top : bottom + 1, left : right + 1] = True
    return rectangle


def middle(side: slice) -> int:
    return int(side.start + side.stop - 1) // 2


def elsewhere(image: Image, mask: Mask, room: Mask, inside: Mask, seed: int) -> tuple[Image, Mask]:
    """Image and mask rolled so that the middle of the object's box lies anywhere within the box of `room`, drawn evenly.

    All of the object stays within the box of `inside`; along a side that is longer it stays where it is. What is around the
    object is no matter.
    """
    shifts = []
    for axis, own, places, whole in zip(("row", "column"), bounds(mask), bounds(room), bounds(inside), strict=True):
        shift = places.start + derive(seed, axis) % (places.stop - places.start) - middle(own)
        least, most = whole.start - own.start, whole.stop - own.stop
        shifts.append(min(max(shift, least), most) if least <= most else 0)
    return np.roll(image, shifts, axis=(0, 1)), np.roll(mask, shifts, axis=(0, 1))
