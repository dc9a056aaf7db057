"""The masks of objects in a source's images, in memory and in the artifacts of a version."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.records import Item, Mask
from pipelines.spec import ImageVariation, MethodSpec
from pipelines.store.version_artifacts import VersionArtifacts
from pipelines.vision.image_features import stored_features

Words = str | Mapping[str, str]  # what objects are called: one word in all images, or one in those of each class


def word_of(words: Words, label: str) -> str:
    """What the object is called in the images of a class."""
    return words if isinstance(words, str) else words[label]


class ObjectMasks:
    """Masks by image and word, packed to eight pixels a byte; one without pixels is of an image with no such object.

    Those that are segmented together are one artifact: "masks/shoe/0", then "masks/shoe/1".
    """

    def __init__(self, artifacts: VersionArtifacts) -> None:
        self.artifacts = artifacts
        self.rows: dict[tuple[str, str], NDArray[Any]] = {}  # by SHA-256 and word
        self.words: set[str] = set()  # whose masks are read from the artifacts that the version's record names

    def missing(self, items: Sequence[Item], word: str) -> list[Item]:
        """The items whose masks are still to be segmented, each image once."""
        if word not in self.words:
            self.words.add(word)
            for artifact in self.artifacts.recorded_of(f"masks/{word}"):
                self.keep(word, *stored_features(artifact))
        return list({item.sha256: item for item in items if (item.sha256, word) not in self.rows}.values())

    def next_name(self, word: str) -> str:
        """The name of the next artifact with masks of a word."""
        names = {*self.artifacts.used, *self.artifacts.recorded}
        return f"masks/{word}/{sum(name.rpartition('/')[0] == f'masks/{word}' for name in names)}"

    def keep(self, word: str, images: Sequence[str], rows: NDArray[Any]) -> None:
        self.rows |= {(sha256, word): row for sha256, row in zip(images, rows, strict=True)}

    def unpacked(self, item: Item, word: str, side: int) -> Mask | None:
        """A mask (side, side); None where the object is not detected."""
        bits = self.rows[item.sha256, word]
        return np.unpackbits(bits).astype(np.bool_).reshape(side, side) if bits.any() else None


def object_mask(region: Mask | None, method: MethodSpec) -> Mask | None:
    """The object's mask, of the region that was repainted for it: where the surroundings were, it is what they leave; one
    that was altered has its own. None where that is nothing, or the whole image."""
    if region is None:
        return None
    if isinstance(method, ImageVariation) and method.repaint == "surroundings" and not method.alters_object:
        region = ~region
    return region if region.any() and not region.all() else None
