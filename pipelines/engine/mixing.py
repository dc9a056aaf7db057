"""Half a real image and half its edit, under a fractal (DiffuseMix, CVPR 2024, arXiv 2405.14881)."""

import numpy as np

from pipelines.records import Image, Mix

RAMP = 20 / 512  # of the side, over which one half becomes the other


def mixed(mix: Mix, real: Image, edited: Image) -> Image:
    """The sample of a real image and its edit, both (h, w, 3)."""
    length = real.shape[1] if mix.side_by_side else real.shape[0]
    share = edited_share(length)[None, :, None] if mix.side_by_side else edited_share(length)[:, None, None]
    halves = real * (1 - share) + edited * share
    blend: Image = np.round(halves * (1 - mix.weight) + mix.fractal * mix.weight).astype(np.uint8)
    return blend


def edited_share(length: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """The edit's weight at each pixel along a side, (length,): 0 in one half, 1 in the other, a ramp between."""
    place = (np.arange(length) + 0.5) / length
    return np.clip((place - 0.5) / RAMP + 0.5, 0, 1)
