"""Masks and regions: the region to repaint around an object, crops, isolated objects, and pasting a repainted region."""

import numpy as np
import PIL.Image
from PIL import ImageFilter
from scipy.ndimage import binary_dilation

from pipelines.records import Image, Mask

FEATHER = 1.0  # pixels over which a repainted region fades into its surroundings, at 64 px
EDGE = 0.4  # the same of an object that is pasted: its thin parts, a pixel or two wide, stay


def bounds(mask: Mask) -> tuple[slice, slice]:
    """Rows and columns of a mask's bounding box. The mask must not be empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def region(mask: Mask, shape: str, grow: float) -> Mask:
    """The region to repaint around a masked object: a square (`box`), its outline (`mask`), or everything (`whole`).

    `grow` widens it on each side by that share of the object's longer side.
    """
    if shape == "whole":
        return np.ones_like(mask)
    rows, columns = bounds(mask)
    longer = max(rows.stop - rows.start, columns.stop - columns.start)
    margin = round(grow * longer)
    if shape == "mask":
        return binary_dilation(mask, iterations=margin) if margin else mask
    side = min(longer + 2 * margin, min(mask.shape))
    top = min(max(0, (rows.start + rows.stop - side) // 2), mask.shape[0] - side)
    left = min(max(0, (columns.start + columns.stop - side) // 2), mask.shape[1] - side)
    square = np.zeros_like(mask)
    square[top : top + side, left : left + side] = True
    return square


def crop(image: Image, mask: Mask | None) -> Image:
    """The part of an image inside the mask's bounding box; the whole image without a mask."""
    return image if mask is None else image[bounds(mask)]


def isolate(image: Image, mask: Mask) -> Image:
    """The masked object on plain grey."""
    return np.where(mask[..., None], image, 127).astype(np.uint8)


def paste(original: Image, repainted: Image, mask: Mask, feather: float = FEATHER) -> Image:
    """`repainted` inside the mask, feathered at its inner edge; exactly `original` outside."""
    soft = PIL.Image.fromarray(mask.astype(np.uint8) * 255).filter(ImageFilter.GaussianBlur(feather * mask.shape[0] / 64))
    alpha = (np.clip(np.asarray(soft, np.float32) / 127.5 - 1, 0, 1) * mask)[..., None]
    blended: Image = np.round(original * (1 - alpha) + repainted * alpha).astype(np.uint8)
    return blended


def paste_object(image: Image, source: Image, mask: Mask) -> Image:
    """An image with the masked object of another one on top."""
    return paste(image, source, mask, EDGE)
