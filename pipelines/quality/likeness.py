"""When an image is nearly a copy of another: by an 8 x 8 thumbnail, and by embedding."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.quality.comparison import FEWEST, Rows
from pipelines.quality.distances import nearest
from pipelines.quality.features import Features

NEAR = 0.05  # quantile of held-out images' distances to their nearest training image
COPY = 0.3  # of that distance, below which an image is a copy: of thousands of new ones, hardly any is that near by chance


@dataclass(frozen=True)
class Likeness:
    """How near images are to others: by thumbnail, and by embedding. 1 is as near as a copy."""

    thumbnail: float  # distance of a copy
    embedding: float

    @classmethod
    def measure(cls, train: Features, held_out: Features) -> "Likeness":
        """Of held-out images beside training images; of the latter beside each other where there are few of the former."""
        few = len(held_out) < FEWEST
        a, exclude = (train, np.arange(len(train))) if few else (held_out, None)
        limits = []
        for name in ("thumbnails", "embeddings"):
            distances = nearest(getattr(a, name), getattr(train, name), exclude)[0]
            known = distances[np.isfinite(distances)]
            limits.append(COPY * float(np.quantile(known, NEAR)) if len(known) else 0.0)
        return cls(*limits)

    def copies(
        self, images: Features, others: Features, exclude: Rows | None = None
    ) -> tuple[NDArray[np.bool_], NDArray[np.float64], Rows]:
        """Which images repeat one of the others, by what share of a copy's distance they are away, and from which.

        Thumbnails decide; embeddings alone, where a copy was altered, only as long as thumbnails are near, too.
        """
        by_thumbnail, first = nearest(images.thumbnails, others.thumbnails, exclude)
        by_embedding, second = nearest(images.embeddings, others.embeddings, exclude)
        also = self.thumbnail_of(images, others, second) < self.thumbnail / COPY
        thumbnail = by_thumbnail / max(self.thumbnail, 1e-9)
        embedding = np.where(also, by_embedding / max(self.embedding, 1e-9), np.inf)
        nearer = thumbnail <= embedding
        ratio = np.where(nearer, thumbnail, embedding)
        return ratio < 1, ratio, np.where(nearer, first, second)

    def thumbnail_of(self, images: Features, others: Features, rows: Rows) -> NDArray[np.float64]:
        cosines = (images.thumbnails * others.thumbnails[rows]).sum(axis=1)
        return np.asarray(np.sqrt(np.maximum(0, 2 - 2 * cosines)), np.float64)
