"""How varied a set of embeddings is, and how two sets cover each other."""

import numpy as np

from pipelines.quality.distances import Set

NEIGHBOURS = 5


def vendi_score(x: Set) -> float:
    """The effective number of different images among unit vectors (n, width): 1 when all are one, n when all are at right
    angles (Friedman and Dieng 2023, arXiv 2210.02410). It grows with n: only values of equally many images can be compared.
    """
    values = np.linalg.eigvalsh((x.T @ x if x.shape[1] < len(x) else x @ x.T).astype(np.float64) / len(x))
    values = values[values > 1e-12]
    return float(np.exp(-(values * np.log(values)).sum()))


def distance_matrix(a: Set, b: Set) -> Set:
    """Euclidean, (n of a, n of b)."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None] - 2 * a @ b.T
    return np.asarray(np.sqrt(np.maximum(squares, 0)))


def radii(x: Set, k: int) -> Set:
    """Of each, the distance to its k-th nearest among the others."""
    return np.asarray(np.partition(distance_matrix(x, x), k, axis=1)[:, k])


def prdc(real: Set, generated: Set, k: int = NEIGHBOURS) -> dict[str, float]:
    """Improved precision and recall (Kynkäänniemi et al. 2019, arXiv 1904.06991), density and coverage (Naeem et al. 2020,
    arXiv 2002.09797), of sets of more than k. Precision: generated images inside the balls of real ones, each up to its k-th
    neighbour; recall: the other way round; density: in how many balls, over k; coverage: real images whose ball holds one.
    """
    between, of_real, of_generated = distance_matrix(real, generated), radii(real, k), radii(generated, k)
    inside = between < of_real[:, None]
    return {
        "precision": float(inside.any(axis=0).mean()),
        "recall": float((between < of_generated[None]).any(axis=1).mean()),
        "density": float(inside.sum(axis=0).mean() / k),
        "coverage": float((between.min(axis=1) < of_real).mean()),
    }
