"""Plain statistics of an image's pixels, by which generated images often differ from real ones."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import laplace

from pipelines.records import Image

QUANTILES = (0.05, 0.5, 0.95)


def statistics(image: Image) -> NDArray[np.float32]:
    """float32 (15,): contrast, sharpness, share of saturated pixels; red and blue against green in the dark, middle and
    bright tones; brightness of those; spread of each channel. All but the share are logarithms, in which a filter laid over
    an image is the same difference whatever is on it."""
    grey, flat = image.mean(axis=2) / 255, image.reshape(-1, 3) / 255
    tones = np.log(np.quantile(flat, QUANTILES, axis=0) + 0.02)  # (3 tones, 3 channels)
    saturated = ((image == 0) | (image == 255)).all(axis=2).mean()
    detail = [np.log(grey.std() + 1e-3), np.log(laplace(grey).var() + 1e-6), saturated]
    colour = (tones[:, [0, 2]] - tones[:, [1]]).ravel()
    return np.array([*detail, *colour, *tones[:, 1], *np.log(flat.std(axis=0) + 0.01)], np.float32)
