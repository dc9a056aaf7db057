"""Images as the quality report sees them: each decoded once, and only numbers of it are kept."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from pipelines.progress import Stage
from pipelines.quality.pixels import thumbnail
from pipelines.records import Image
from pipelines.vision.clip import BATCH, Clip
from pipelines.vision.pixel_statistics import statistics

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an image beside its pixels."""

    id: str  # of a real image: the source's; of a sample: INDEX-ATTEMPT
    label: int  # place among the classes
    group: str | None
    source: str | None = None  # of a sample: id of the real image that it started from


@dataclass(frozen=True)
class Features:
    """n images in numbers."""

    facts: Sequence[Facts]
    embeddings: Vectors  # (n, width), unit vectors, of CLIP
    statistics: Vectors  # (n, 15), of the pixels
    thumbnails: Vectors  # (n, 192), unit vectors

    def __len__(self) -> int:
        return len(self.facts)

    def __getitem__(self, rows: NDArray[np.int64]) -> "Features":
        return Features([self.facts[row] for row in rows], *(getattr(self, name)[rows] for name in ARRAYS))

    def followed_by(self, others: "Features") -> "Features":
        arrays = (np.concatenate([getattr(self, name), getattr(others, name)]) for name in ARRAYS)
        return Features([*self.facts, *others.facts], *arrays)

    def with_facts(self, facts: Sequence[Facts]) -> "Features":
        return replace(self, facts=facts)

    @property
    def labels(self) -> NDArray[np.int64]:
        return np.array([facts.label for facts in self.facts], np.int64)

    def of(self, label: int) -> NDArray[np.int64]:
        """Rows of a class."""
        return np.flatnonzero(self.labels == label)


ARRAYS = tuple(field.name for field in fields(Features) if field.name != "facts")


def batches(images: Iterable[tuple[Facts, Image]]) -> Iterator[list[tuple[Facts, Image]]]:
    iterator = iter(images)
    while batch := list(islice(iterator, BATCH)):
        yield batch


def features(images: Iterable[tuple[Facts, Image]], clip: Clip, progress: Stage) -> Features:
    """Of images that are read one at a time, at CLIP's own size: no more than a batch of pixels is in memory."""
    facts: list[Facts] = []
    embeddings, pixels, thumbnails = [clip.embed_images([]).numpy()], [np.zeros((0, 15), np.float32)], [np.zeros((0, 192))]
    for batch in batches(images):
        facts += [one for one, _ in batch]
        embeddings.append(clip.embed_images([image for _, image in batch]).numpy())
        pixels.append(np.stack([statistics(image) for _, image in batch]))
        thumbnails.append(np.stack([thumbnail(image) for _, image in batch]))
        progress(len(batch))
    return Features(facts, np.concatenate(embeddings), np.concatenate(pixels), np.concatenate(thumbnails).astype(np.float32))
