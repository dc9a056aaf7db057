"""Where garments come from: Fashion-MNIST in its original files when there, else the sample in this package.

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
SAMPLE = Path(__file__).parent / "garments.npz"
# The last 1,000 of each kind in the training file and all of the test file are kept for sources:
# the bundled models have never seen them.
KEPT_FOR_SOURCES = 1000


@dataclass(frozen=True, slots=True)
class Wardrobe:
    """Garments by kind: `items[kind]` is uint8 (n, 28, 28)."""

    items: dict[str, NDArray[np.uint8]]
    origin: str


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


def fashion_mnist() -> Path | None:
    """The folder with the four original files: $COUNTERPOISE_FASHION_MNIST, or Debian's dataset-fashion-mnist."""
    folder = Path(os.environ.get("COUNTERPOISE_FASHION_MNIST", DEBIAN))
    return folder if (folder / "train-images-idx3-ubyte.gz").exists() else None


@cache
def for_models() -> Wardrobe:
    """The garments that the bundled models are trained on. Raises FileNotFoundError without Fashion-MNIST."""
    folder = fashion_mnist()
    if folder is None:
        raise FileNotFoundError(
            f"Fashion-MNIST not found in {DEBIAN}: install Debian's dataset-fashion-mnist, "
            "or set COUNTERPOISE_FASHION_MNIST to a folder with its four .gz files"
        )
    return Wardrobe({k: v[:-KEPT_FOR_SOURCES] for k, v in by_kind(folder, "train").items()}, str(folder))


def kept_for_sources(folder: Path) -> dict[str, NDArray[np.uint8]]:
    train, test = by_kind(folder, "train"), by_kind(folder, "t10k")
    return {k: np.concatenate([test[k], train[k][-KEPT_FOR_SOURCES:]]) for k in GARMENTS}


@cache
def for_sources() -> Wardrobe:
    """The garments that built-in sources are rendered from.

    Always a prefix of the same list, so that a source that fits into the sample is the same with and without
    the original files.
    """
    folder = fashion_mnist()
    if folder is not None:
        return Wardrobe(kept_for_sources(folder), str(folder))
    with np.load(SAMPLE) as sample:
        return Wardrobe({k: sample[k] for k in GARMENTS}, "bundled sample")
