"""A view of a source for the models: its images, framed, and what is computed of them, the masks of their objects first."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from obstore.store import MemoryStore

from pipelines.errors import SourceError
from pipelines.progress import SILENT, Stage, step
from pipelines.records import Image, Item, Mask, Problem
from pipelines.source.frames import inside
from pipelines.source.source import Source
from pipelines.spec import Classifier, Framing
from pipelines.spec.base import quantity
from pipelines.spec.helpers import SEGMENTATION_MODELS, SEGMENTERS
from pipelines.spec.models import CROSS_ATTENTION
from pipelines.store.object_store import Store
from pipelines.store.version_artifacts import Facts, VersionArtifacts
from pipelines.vision.framed_view import MANY, FramedView
from pipelines.vision.image_features import FACTS, PART, Compute, image_features
from pipelines.vision.models import Models
from pipelines.vision.object_masks import ObjectMasks, Words, word_of

BATCH = 16  # images segmented at a time


class SourceView(FramedView):
    """Masks are kept, packed to eight pixels a byte, for as long as the view is. They are those of overviews."""

    def __init__(
        self,
        source: Source,
        models: Models,
        framing: Framing = "crop",
        stage: Callable[[str, int], Stage] = SILENT.stage,
        classifier: Classifier | None = None,
        artifacts: VersionArtifacts | None = None,
    ) -> None:
        """Without `artifacts`, what is computed stays in memory."""
        super().__init__(source, models, framing, stage, classifier or Classifier())
        self.artifacts = artifacts or VersionArtifacts(Store(MemoryStore()))
        self.masks = ObjectMasks(self.artifacts)

    def segment(self, images: Sequence[Image], word: str) -> list[Mask | None]:
        """The mask of what `word` names in each image, None where it is not detected."""
        masks: list[Mask | None] = []
        for start in range(0, len(images), BATCH):
            step()
            masks += self.models.segmenter.segment(images[start : start + BATCH], word)
        return masks

    def segment_each(self, images: Sequence[Image], words: Sequence[str]) -> list[Mask | None]:
        """The mask of what its own word names in each image, None where it is not detected."""
        masks: list[Mask | None] = [None] * len(images)
        for word in dict.fromkeys(words):
            rows = [row for row, own in enumerate(words) if own == word]
            for row, mask in zip(rows, self.segment([images[row] for row in rows], word), strict=True):
                masks[row] = mask
        return masks

    def features(
        self,
        name: str,
        kind: str,
        facts: Facts,
        items: Sequence[Item],
        compute: Compute,
        title: str = "read: images",
        more_than: int = MANY,
    ) -> NDArray[Any]:
        """A row for each image, at least one, that depends on the facts and its overview: an artifact of this name, or
        computed. `title` is that of the stage of the progress, where there are `more_than` so many."""

        def known() -> dict[str, object]:
            images = [item.sha256 for item in items]
            return {**facts(), "side": self.resolution, "framing": self.framing, "images": images}

        artifact = self.artifacts.find(name, kind, known, FACTS)
        return image_features(artifact, known, items, compute, lambda: self.begin(title, len(items), more_than))

    def segment_objects(self, items: Sequence[Item], words: Words | None) -> None:
        """Have the masks of objects, if any are to be found, at hand for `object_masks`. New ones of a word are an artifact
        together."""
        if words is None:
            return
        for word in dict.fromkeys(word_of(words, item.label) for item in items):
            self.segment_word([item for item in items if word_of(words, item.label) == word], word)

    def segment_word(self, items: Sequence[Item], word: str) -> None:
        if new := self.masks.missing(items, word):
            rows = self.features(
                self.masks.next_name(word),
                "masks",
                lambda: {"segmenter": self.models.segmenter_revision, "word": word},
                new,
                partial(self.packed_masks, word),
                f"segment: {word}",
                BATCH,
            )
            self.masks.keep(word, [item.sha256 for item in new], rows)

    def packed_masks(self, word: str, items: Sequence[Item]) -> NDArray[Any]:
        """Masks of `word`, the part that lies in the image, eight pixels a byte: uint8 (n, bytes)."""
        overviews, within_image = [], []
        for item in items:
            image = self.read(item)
            overviews.append(self.fit(image))
            within_image.append(inside(self.overview(image), image.shape[0], image.shape[1], self.resolution))
        masks = self.segment(overviews, word)
        blank = np.zeros((self.resolution, self.resolution), np.bool_)
        return np.stack(
            [np.packbits(blank if mask is None else mask & own) for mask, own in zip(masks, within_image, strict=True)]
        )

    def object_masks(self, items: Sequence[Item], words: Words | None) -> list[Mask | None]:
        """Masks of objects in overviews, each segmented once; without words, masks of all of them."""
        if words is None:
            return [np.ones((self.resolution, self.resolution), dtype=np.bool_) for _ in items]
        self.segment_objects(items, words)
        return [self.masks.unpacked(item, word_of(words, item.label), self.resolution) for item in items]

    def check_detected(self, label: str, word: str) -> None:
        """Look for a word in the images of a class, a few at a time, until it is detected. Raises SourceError where it is in
        none of them."""
        items = self.source.of(label)
        for start in range(0, len(items), BATCH):
            if any(mask is not None for mask in self.object_masks(items[start : start + BATCH], word)):
                return
        raise self.undetected(word, len(items), label)

    def undetected(self, words: Words | None, count: int, label: str | None, remedy: str = "") -> SourceError:
        """The error where no object is detected in any of `count` images, of a class or of all: it names the segmenter that
        looked, and others."""
        which = "for training" if label is None else f"of class {label!r}"
        if isinstance(words, Mapping):
            words = " or ".join(dict.fromkeys(words.values())) if label is None else words[label]
        segmenter = self.models.spec.segmenter
        others = SEGMENTATION_MODELS if segmenter == CROSS_ATTENTION else SEGMENTERS
        return SourceError(
            f"method.superclass: the segmenter {segmenter!r} looked at {quantity(count, 'image')} {which} and found no "
            f"{words!r}; choose another word{remedy}, or another models.segmenter: {others}"
        )

    def with_object(self, items: Sequence[Item], words: Words | None) -> tuple[list[Item], list[Problem]]:
        """The items in which the object is detected, and a problem for each of the others."""
        detected, missing = list[Item](), list[Problem]()
        for start in range(0, len(items), PART):  # masks that are unpacked are large
            part = items[start : start + PART]
            for item, mask in zip(part, self.object_masks(part, words), strict=True):
                if words is not None and mask is None:
                    missing.append(Problem(item.id, f"no {word_of(words, item.label)} found"))
                else:
                    detected.append(item)
        return detected, missing
