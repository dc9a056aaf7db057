"""Where garments come from: the sample in this package for sources, Fashion-MNIST's original files for the bundled models.

Fashion-MNIST is (c) 2017 Zalando SE, MIT licence: see FASHION_MNIST_LICENSE beside this file.
"""

import gzip
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.builtin.world import GARMENTS

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
SAMPLE = Path(__file__).parent / "garments.npz"  # written by train/sample.py
# The last 1,000 of each kind in the training file and all of the test file are kept for sources:
# the bundled models are not trained on them.
KEPT_FOR_SOURCES = 1000


@dataclass(frozen=True, slots=True)
class Wardrobe:
    """Garments by kind: `items[kind]` is uint8 (n, 28, 28)."""

    items: dict[str, NDArray[np.uint8]]


@cache
def for_sources() -> Wardrobe:
    """The garments that built-in sources are rendered from: 2,000 of each kind, the same on every machine."""
    with np.load(SAMPLE) as sample:
        return Wardrobe({kind: sample[kind] for kind in GARMENTS})


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read one gzipped IDX file of unsigned bytes."""
    data = gzip.decompress(path.read_bytes())
    dimensions = data[3]
    shape = np.frombuffer(data, dtype=">i4", count=dimensions, offset=4)
    return np.frombuffer(data, dtype=np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def by_kind(folder: Path, split: str) -> dict[str, NDArray[np.uint8]]:
    images = read_idx(folder / f"{split}-images-idx3-ubyte.gz")
    labels = read_idx(folder / f"{split}-labels-idx1-ubyte.gz")
    return {name: images[labels == number] for number, name in enumerate(GARMENTS)}


def originals() -> Path:
    """The folder with the four original files: $COUNTERPOISE_FASHION_MNIST, or Debian's dataset-fashion-mnist.

    Raises FileNotFoundError when they are not there.
    """
    folder = Path(os.environ.get("COUNTERPOISE_FASHION_MNIST", DEBIAN))
    if not (folder / "train-images-idx3-ubyte.gz").exists():
        raise FileNotFoundError(
            f"Fashion-MNIST not found in {folder}: install Debian's dataset-fashion-mnist, "
            "or set COUNTERPOISE_FASHION_MNIST to a folder with its four .gz files"
        )
    return folder


@cache
def for_models() -> Wardrobe:
    """The garments that the bundled models are trained on. Raises FileNotFoundError without Fashion-MNIST."""
    return Wardrobe({kind: images[:-KEPT_FOR_SOURCES] for kind, images in by_kind(originals(), "train").items()})
