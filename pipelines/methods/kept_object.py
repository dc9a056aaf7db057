"""An object whose surroundings are drawn anew: in another colour, and in another place of its image."""

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


def elsewhere(image: Image, mask: Mask, inside: Mask, seed: int) -> tuple[Image, Mask]:
    """Image and mask rolled so that the object's box lies anywhere, drawn evenly, within the box of `inside`; what is around
    it then is no matter. A side that is longer than that stays where it is."""
    shifts = []
    for axis, own, room in zip(("row", "column"), bounds(mask), bounds(inside), strict=True):
        places = room.stop - room.start - (own.stop - own.start) + 1
        shifts.append(room.start - own.start + derive(seed, axis) % places if places > 0 else 0)
    return np.roll(image, shifts, axis=(0, 1)), np.roll(mask, shifts, axis=(0, 1))
