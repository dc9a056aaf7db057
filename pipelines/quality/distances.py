"""Distances between two sets of embeddings, and nearest neighbours. Sets are float (n, width)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.progress import step

Set = NDArray[Any]  # of floats
BLOCK = 1024  # rows that are compared with another set at a time
SIGMA, SCALE = 10.0, 1000.0  # of CMMD, its authors' values


def frechet_distance(a: Set, b: Set) -> float:
    """Of two Gaussians with the sets' means and covariances (Heusel et al. 2017, arXiv 1706.08500). At least 2 rows each.

    It falls as the sets grow: only values of equally large sets can be compared.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    shift = a.mean(axis=0) - b.mean(axis=0)
    covariances = [np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b)]
    eigenvalues = np.linalg.eigvals(covariances[0] @ covariances[1])
    root = np.sqrt(np.maximum(eigenvalues.real, 0)).sum()
    return float(shift @ shift + sum(np.trace(c) for c in covariances) - 2 * root)


def kid(a: Set, b: Set) -> float:
    """Kernel Inception distance without bias: the squared MMD of a cubic kernel (Bińkowski et al. 2018, arXiv 1801.01401).

    At least 2 rows each. May be negative; 0 in expectation for sets of one distribution, however small.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    width = a.shape[1]

    def kernel(x: Set, y: Set) -> Set:
        return np.asarray((x @ y.T / width + 1) ** 3)

    def within(x: Set) -> float:
        values = kernel(x, x)
        return float((values.sum() - np.trace(values)) / (len(x) * (len(x) - 1)))

    return within(a) + within(b) - 2 * float(kernel(a, b).mean())


def cmmd(a: Set, b: Set) -> float:
    """The squared MMD of a Gaussian kernel, times 1000 (Jayasumana et al. 2024, arXiv 2401.09603), of CLIP embeddings.

    As its authors estimate it: with a bias that falls as the sets grow.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)

    def mean(x: Set, y: Set) -> float:
        squares = (x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1)[None] - 2 * x @ y.T
        return float(np.exp(-np.maximum(squares, 0) / (2 * SIGMA**2)).mean())

    return SCALE * (mean(a, a) + mean(b, b) - 2 * mean(a, b))


def nearest(a: Set, b: Set, exclude: NDArray[np.int64] | None = None) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Euclidean distance of each unit vector to the nearest in another set, and the row of that: (n,) each.

    `exclude` (n,): for each vector, a row of the other set that does not count; -1: all do. Distances are infinite where
    there is nothing.
    """
    distances, rows = np.full(len(a), np.inf), np.zeros(len(a), np.int64)
    for start in range(0, len(a) if len(b) else 0, BLOCK):
        step()
        cosines = a[start : start + BLOCK] @ b.T
        places = np.arange(len(cosines))
        if exclude is not None:
            others = exclude[start : start + BLOCK]
            cosines[places[others >= 0], others[others >= 0]] = -np.inf
        rows[start : start + BLOCK] = cosines.argmax(axis=1)
        best = cosines[places, rows[start : start + BLOCK]].astype(np.float64)
        distances[start : start + BLOCK] = np.where(np.isinf(best), np.inf, np.sqrt(np.maximum(0, 2 - 2 * best)))
    return distances, rows


def nearest_others(x: Set) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """As `nearest`, of each vector of a set among the others."""
    return nearest(x, x, np.arange(len(x)))
