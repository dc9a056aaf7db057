"""Words for what comes with a class, by CLIP: those that fit its images better than the other classes' images."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.builtin.world import COLOURS, SCENES
from pipelines.records import Image
from pipelines.spec.models import BUILTIN
from pipelines.vision.clip import Clip

LEAST = 6.0  # standard errors by which a word must fit a class's images better
IMAGES = 60  # of a class
PLACES = (
    "grass", "water", "sand", "snow", "night", "sky", "forest", "trees", "leaves", "flowers", "field", "mountains", "rocks",
    "beach", "desert", "street", "road", "buildings", "brick", "wall", "wood", "tiles", "concrete", "carpet", "floor",
    "table", "curtain", "room", "office", "kitchen", "hospital", "laboratory", "fence", "cage", "hands", "a person",
    "a crowd", "a white background", "a black background", "text", "a watermark", "a logo", "a frame", "a ruler",
)  # fmt: skip
HUES = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white", "black", "grey", "brown")


def words_of(attribute: str, checkpoint: str) -> Sequence[str]:
    """The words that are tried for an attribute: of the bundled CLIP those that it knows."""
    places, hues = (SCENES, tuple(COLOURS)) if checkpoint == BUILTIN else (PLACES, HUES)
    return {"background": places, "border": places, "colour": hues}.get(attribute, ())


def fitting(clip: Clip, images: Mapping[str, Sequence[Image]], words: Sequence[str]) -> dict[str, str]:
    """The word that fits each class's images better than the others', where there is one. Welch's statistic of cosines."""
    texts = clip.embed_words(words).numpy()
    cosines = {label: clip.embed_images(some[:IMAGES]).numpy() @ texts.T for label, some in images.items() if len(some) > 1}
    best = {}
    for label, own in cosines.items():
        others = [rows for name, rows in cosines.items() if name != label]
        if not others:
            continue
        statistics = welch(own, np.concatenate(others))
        if statistics.max() >= LEAST:
            best[label] = words[int(statistics.argmax())]
    return best


def welch(own: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float64]:
    """Of each column, how many standard errors the mean of some rows is above that of others."""
    spread = np.sqrt(own.var(axis=0, ddof=1) / len(own) + other.var(axis=0, ddof=1) / len(other)) + 1e-6
    return np.asarray((own.mean(axis=0) - other.mean(axis=0)) / spread, np.float64)
