"""Checkpoints of the real classes with random weights: tiny ones for tests, full-size ones for measuring speed and memory.

Everything but the pictures is as in a trained one.
"""

from tests.checkpoints.flux import build_flux
from tests.checkpoints.full_size import full_size
from tests.checkpoints.language import build_language_model
from tests.checkpoints.parts import vision_tower
from tests.checkpoints.stable_diffusion import build
from tests.checkpoints.stable_diffusion_3 import build_3
from tests.checkpoints.stable_diffusion_xl import build_xl
from tests.checkpoints.whole import build_pixart, build_z_image

__all__ = [
    "build",
    "build_3",
    "build_flux",
    "build_language_model",
    "build_pixart",
    "build_xl",
    "build_z_image",
    "full_size",
    "vision_tower",
]
