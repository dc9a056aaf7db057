"""How an image was compressed and how sharp it is, by its pixels alone."""

import io

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from scipy import ndimage

from pipelines.records import Image, Mask

BLOCK = 8  # pixels a side of JPEG's blocks
QUALITIES = (10, 20, 35, 55, 80)  # of JPEG, 0..100
GHOST = 0.7  # least share of the error off the grid that an image has on it which was not compressed before
SIGMAS = (0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 1.8, 2.2, 2.7)  # of a Gaussian, pixels


def grey(image: Image) -> NDArray[np.float32]:
    """Luminance (h, w), 0..255."""
    return image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)


def compressed(image: Image, quality: int) -> Image:
    """Encoded as JPEG and decoded."""
    data = io.BytesIO()
    PIL.Image.fromarray(image).save(data, "JPEG", quality=quality)
    return np.asarray(PIL.Image.open(data))


def blurred(image: Image, sigma: float) -> Image:
    """By a Gaussian of `sigma` pixels."""
    soft: NDArray[np.float32] = ndimage.gaussian_filter(image.astype(np.float32), (sigma, sigma, 0))
    return np.round(soft).clip(0, 255).astype(np.uint8)


def error(pixels: NDArray[np.uint8], quality: int) -> float:
    return float(((compressed(pixels, quality).astype(np.float32) - pixels) ** 2).mean())


def jpeg_quality(image: Image) -> int | None:
    """The quality, of QUALITIES, as which an image was compressed at this size; None where it was not.

    By JPEG ghosts (Farid 2009): compressed again on the same grid of blocks it changes less than on another.
    """
    pixels = np.round(grey(image)).astype(np.uint8)
    side, shift = (len(pixels) // BLOCK - 1) * BLOCK, BLOCK // 2
    if side < BLOCK:
        return None
    on, off = pixels[:side, :side], pixels[shift : shift + side, shift : shift + side]
    ratios = [(error(on, quality) + 0.1) / (error(off, quality) + 0.1) for quality in QUALITIES]
    least = int(np.argmin(ratios))
    return QUALITIES[least] if ratios[least] < GHOST else None


def sharpness(image: Image, where: Mask) -> float:
    """Logarithm of the energy of the finest details against that of coarser ones, in a part of an image."""
    pixels = grey(image)
    soft, softer, softest = (ndimage.gaussian_filter(pixels, sigma) for sigma in (0.7, 1.2, 4.0))
    fine, coarse = ((pixels - soft)[where] ** 2).mean(), ((softer - softest)[where] ** 2).mean()
    return float(np.log(fine + 0.3) - np.log(coarse + 0.3))


def softened(image: Image, where: Mask, target: float) -> Image:
    """An image blurred until it is no sharper than `target` there; a less sharp one as it is."""
    soft = image
    for sigma in SIGMAS:
        if sharpness(soft, where) <= target:
            break
        soft = blurred(image, sigma)
    return soft
