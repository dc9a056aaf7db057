"""Near copies: the same picture encoded, scaled, brightened or slightly cropped anew. Exact within the thresholds: every
pair of images is compared by perceptual hash, and what is near by thumbnail. Embeddings do not decide here: by those of the
bundled CLIP two pairs of trousers on one wall are nearer to each other than a picture to itself, cropped.

Copies in different splits are leaks, since what is tested was trained on; in different classes, one of the labels is wrong.
The hashes of 100,000 images take 16 seconds of one core.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipelines.inspection.findings import Finding, SplitItem
from pipelines.inspection.measure import Measurements
from pipelines.progress import Progress, step
from pipelines.spec.base import quantity

DISTANCE = 10  # bits of 64: largest Hamming distance of two copies' perceptual hashes
CORRELATION = 0.98  # least correlation of their thumbnails
BLOCK = 2**24  # products that are held at a time: 64 MiB
PAIRS = 10_000  # whose thumbnails are
Rows = NDArray[np.int64]


def near_pairs(vectors: NDArray[np.float32], least: float, progress: Progress) -> Rows:
    """Pairs (m, 2), the smaller row first, of unit vectors (n, width) whose product is at least so much."""
    count = len(vectors)
    rows = max(1, BLOCK // max(1, count))
    done = progress.stage("copies", count)
    pairs = [np.zeros((0, 2), np.int64)]
    for start in range(0, count, rows):
        step()
        block = vectors[start : start + rows]
        near = np.argwhere(block @ vectors[start:].T >= least)
        near = near[near[:, 0] < near[:, 1]] + start
        pairs.append(near)
        done(len(block))
    return np.concatenate(pairs)


def copies(measured: Measurements, usable: NDArray[np.bool_], progress: Progress) -> Rows:
    """Pairs of rows that are near copies, among the `usable` ones: blank images are all alike."""
    rows = np.flatnonzero(usable)
    near = rows[near_pairs(measured.signs[rows], 1 - DISTANCE / 32 - 1e-4, progress)]
    parts = [near[start : start + PAIRS] for start in range(0, len(near), PAIRS)]
    same = [correlations(*(measured.thumbnails[part[:, n]] for n in (0, 1))) >= CORRELATION for part in parts]
    return near[np.concatenate(same)] if parts else near


def correlations(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Of thumbnails (n, 768), row by row; each channel about its mean, so that brightness does not count."""
    a, b = (x.reshape(len(x), -1, 3).astype(np.float32) for x in (first, second))
    a, b = ((x - x.mean(axis=1, keepdims=True)).reshape(len(x), -1) for x in (a, b))
    products: NDArray[np.float32] = (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1) + 1e-6)
    return products


def clusters(pairs: Rows, count: int) -> NDArray[np.int64]:
    """The number of each row's cluster, of rows that pairs connect; rows without a copy are alone in theirs."""
    graph = coo_array((np.ones(len(pairs), np.bool_), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    numbers: NDArray[np.int64] = connected_components(graph, directed=False)[1].astype(np.int64)
    return numbers


def copy_findings(measured: Measurements, pairs: Rows, numbers: NDArray[np.int64]) -> list[Finding]:
    """One for each cluster of copies; of copies that are in different splits and different classes, two."""
    distances = 32 * (1 - (measured.signs[pairs[:, 0]] * measured.signs[pairs[:, 1]]).sum(axis=1))
    nearest: dict[int, float] = {}
    members: dict[int, set[int]] = {}
    for (first, second), distance in zip(pairs.tolist(), distances.tolist(), strict=True):
        number = int(numbers[first])
        members.setdefault(number, set()).update((first, second))
        nearest[number] = min(distance, nearest.get(number, 64.0))
    return [
        finding
        for number, rows in members.items()
        for finding in of_cluster([measured.items[row] for row in sorted(rows)], round(nearest[number]))
    ]


def of_cluster(items: Sequence[SplitItem], distance: int) -> list[Finding]:
    splits = list(dict.fromkeys(one.split for one in items))
    labels = sorted({one.item.label for one in items})
    text = f"{quantity(len(items), 'image')} {quantity(distance, 'bit')} of 64 apart"
    severity, images = -float(distance), tuple(items)
    findings = []
    if len(splits) > 1:
        findings.append(Finding("leaks", f"{text}, in {' and '.join(splits)}", severity, images))
    if len(labels) > 1:
        findings.append(Finding("conflicts", f"{text}, of the classes {' and '.join(labels)}", severity, images))
    return findings or [Finding("copies", f"{text}, of {labels[0]} in {splits[0]}", severity, images)]
