"""k-means (Lloyd 1982), begun by k-means++ (Arthur and Vassilvitskii 2007), the best of several beginnings."""

import numpy as np
from numpy.typing import NDArray

from pipelines.progress import step

STARTS = 10
ITERATIONS = 100  # at most

Array = NDArray[np.float64]


def kmeans(x: Array, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """The cluster of each row of x (n, width): int64 (n,), from 0. There are `count`, fewer where fewer rows differ."""
    runs = [lloyd(x, beginning(x, count, rng)) for _ in range(STARTS)]
    clusters, _ = min(runs, key=lambda run: run[1])
    return np.unique(clusters, return_inverse=True)[1].astype(np.int64)


def squared_distances(x: Array, centres: Array) -> Array:
    """(n, count), of rows (n, width) to centres (count, width)."""
    return np.stack([((x - centre) ** 2).sum(axis=1) for centre in centres], axis=1)


def beginning(x: Array, count: int, rng: np.random.Generator) -> Array:
    """Rows as centres, each drawn in proportion to its squared distance from those before it."""
    centres = [x[rng.integers(len(x))]]
    nearest = squared_distances(x, np.stack(centres))[:, 0]
    while len(centres) < count and nearest.sum() > 0:
        centres.append(x[rng.choice(len(x), p=nearest / nearest.sum())])
        nearest = np.minimum(nearest, squared_distances(x, centres[-1][None])[:, 0])
    return np.stack(centres)


def lloyd(x: Array, centres: Array) -> tuple[NDArray[np.int64], float]:
    """Clusters (n,) around centres that are moved until nothing changes, and the sum of squared distances to them."""
    clusters = np.full(len(x), -1)
    for _ in range(ITERATIONS):
        step()
        distances = squared_distances(x, centres)
        nearest = distances.argmin(axis=1)
        if (nearest == clusters).all():
            break
        clusters = nearest
        present = np.unique(clusters)
        centres = np.stack([x[clusters == number].mean(axis=0) for number in present])
        clusters = np.searchsorted(present, clusters)
    distances = squared_distances(x, centres)
    return distances.argmin(axis=1), float(distances.min(axis=1).sum())
