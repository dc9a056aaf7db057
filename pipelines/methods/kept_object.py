"""An object whose surroundings are drawn anew: in another colour, and in another place of its image."""

import numpy as np
from numpy.typing import NDArray

from pipelines.chance import derive
from pipelines.records import Image, Mask
from pipelines.regions import bounds
from pipelines.spec.colours import Rgb

LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
BRIGHTEST = 95  # percentile of an object's lightness that has the full colour: highlights alone are above it


def recoloured(image: Image, mask: Mask, colour: Rgb) -> Image:
    """The image with its object in a colour: how light its pixels are in relation to each other stays."""
    light = image[mask] @ LUMA
    shade: NDArray[np.float64] = np.clip(light / max(float(np.percentile(light, BRIGHTEST)), 1.0), 0, 1)
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
