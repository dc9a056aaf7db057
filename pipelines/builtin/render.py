"""Garment on scene: the one function that turns `Factors` into a picture with its true mask."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipelines.builtin.scenes import paint
from pipelines.builtin.world import COLOURS, RESOLUTION, Factors

Grey = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Scene:
    image: NDArray[np.uint8]  # (64, 64, 3)
    mask: NDArray[np.bool_]  # (64, 64), true where the garment is


def resize(channel: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    return np.asarray(Image.fromarray(channel).resize((size, size), Image.Resampling.BICUBIC))


def render(factors: Factors, garment: Grey) -> Scene:
    """Paint `garment`, uint8 (28, 28), as `factors` say. Deterministic: same factors, same bytes."""
    from scipy.ndimage import binary_fill_holes  # here alone: the API knows built-in sources, and has no scipy

    grey = garment[:, ::-1] if factors.flip else garment
    light = grey.astype(np.float32) / np.float32(255)
    solid = binary_fill_holes(light > 0.08).astype(np.float32)
    alpha = np.clip(resize(solid, factors.size), 0, 1)[..., None]
    shade = np.clip(resize(light, factors.size), 0, 1)[..., None]

    canvas = paint(factors.scene, factors.seed)
    y, x, s = factors.y, factors.x, factors.size
    window = canvas[y : y + s, x : x + s]
    shadow = np.pad(alpha, ((2, 0), (1, 0), (0, 0)))[:s, :s]
    window *= 1 - 0.45 * shadow
    tint = np.array(COLOURS[factors.colour], dtype=np.float32)
    window[:] = window * (1 - alpha) + tint * (0.30 + 0.70 * shade) * alpha

    mask = np.zeros((RESOLUTION, RESOLUTION), dtype=np.bool_)
    mask[y : y + s, x : x + s] = alpha[..., 0] > 0.5
    return Scene(np.round(np.clip(canvas, 0, 1) * 255).astype(np.uint8), mask)
