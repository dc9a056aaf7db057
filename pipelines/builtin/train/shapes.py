"""Adjectives of a garment's shape, measured from the picture, never from the garment's fine name.

Captions that say "tall" or "open" of every kind of garment give the text encoder directions along which a learned token
can move, as it can among the words of a model that has read the web.
"""

import random
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from numpy.typing import NDArray

from pipelines.builtin.train.pictures import Pictures
from pipelines.builtin.world import GARMENTS, SPOKEN, WORDS

# The adjectives of each measure: of its low and of its high end.
ADJECTIVES = (
    ("low", "tall"),
    ("slender", "bulky"),
    ("pointed", "broad"),
    ("heeled", "flat"),
    ("compact", "open"),
    ("plain", "patterned"),
)
VERY = "very"
SAID, EXTREME = 0.3, 0.1  # shares of each word's pictures at either end that have an adjective, and one with "very"


def measures(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> list[float]:
    """Aspect, fill, filled top, filled bottom, length of outline, contrast: the order of ADJECTIVES."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    inside = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    shape, grey = mask[inside], image[inside].mean(axis=2)[mask[inside]]
    height, width = shape.shape
    outline = np.count_nonzero(np.diff(shape, axis=0)) + np.count_nonzero(np.diff(shape, axis=1))
    return [
        height / width,
        float(shape.mean()),
        float(shape[: max(1, height // 4)].mean()),
        float(shape[-max(1, height // 8) :].mean()),
        float(outline / np.sqrt(shape.sum())),
        float(grey.std() / max(1.0, grey.mean())),
    ]


def levels(data: Pictures) -> NDArray[np.int8]:
    """int8 (n, measures) in -2..2: how far each picture is towards either end among the pictures of the same word."""
    with ProcessPoolExecutor() as pool:
        measured = np.array(list(pool.map(measures, data.images, data.masks, chunksize=500)))
    spoken = np.array([WORDS.index(SPOKEN[name]) for name in GARMENTS])[data.factors[:, 0]]
    result = np.zeros(measured.shape, np.int8)
    for word in np.unique(spoken):
        rows = spoken == word
        for share in (SAID, EXTREME):
            low, high = np.quantile(measured[rows], (share, 1 - share), axis=0)
            result[rows] += (measured[rows] > high).astype(np.int8) - (measured[rows] < low).astype(np.int8)
    return result


def adjectives(rng: random.Random, level: NDArray[np.int8]) -> str:
    """Each adjective of the levels with probability 0.4, in random order: 'very tall plain'."""
    chosen = [
        f"{VERY} {words[int(n > 0)]}" if abs(n) == 2 else words[int(n > 0)]
        for words, n in zip(ADJECTIVES, level.tolist(), strict=True)
        if n and rng.random() < 0.4
    ]
    return " ".join(rng.sample(chosen, len(chosen)))
