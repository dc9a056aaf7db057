"""What the quality report measures of an image's pixels beside its embedding and their statistics: a thumbnail."""

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from pipelines.records import Image

SIDE = 8  # pixels of a thumbnail


def thumbnail(image: Image) -> NDArray[np.float32]:
    """float32 (192,), a unit vector: the image at 8 x 8 pixels without its mean, so that neither brightness nor compression
    changes it much."""
    small = PIL.Image.fromarray(image).resize((SIDE, SIDE), PIL.Image.Resampling.BOX)
    values = np.asarray(small, np.float32).ravel()
    values -= values.mean()
    return values / (np.linalg.norm(values) + np.float32(1e-6))
