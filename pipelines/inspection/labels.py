"""Likely wrong labels, by confident learning (Northcutt, Jiang and Chuang, JAIR 2021, arXiv 1911.00068).

Probabilities are out of fold: of each image by a logistic regression, on embeddings, that was fitted without it and without
its near copies. Where groups are known, every group of a class weighs the same, lest the background decide.

Of the images that confident learning counts in another class, those are named of which that class is likelier by MARGIN, and
most nearest neighbours are. So embeddings that tell classes badly give few findings, not many wrong ones.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from pipelines.inspection.findings import Finding
from pipelines.inspection.measure import Measurements
from pipelines.progress import Progress, step
from pipelines.training.logistic import Array, l2_logistic

FOLDS = 5
PENALTIES = (1e-3, 1e-2, 1e-1)  # L2, per unit of the mean cross-entropy; chosen by the first fold's
MARGIN = 0.5  # by which another class must be more probable than the label
NEIGHBOURS, AGREEING = 10, 7  # nearest images, and how many of them must be labelled as that class
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Judged:
    """Out-of-fold probabilities of the images of all classes that have enough of them."""

    rows: Rows  # (n,), of the measurements
    classes: tuple[str, ...]
    targets: Rows  # (n,), the given labels
    probabilities: Array  # (n, classes)

    @property
    def accuracy(self) -> float:
        """Share of the images whose given label is the most probable, 0..1."""
        return float((self.probabilities.argmax(axis=1) == self.targets).mean())


def folds(numbers: Rows, targets: Rows) -> Rows:
    """The fold of each image: a cluster of copies is in one, and each class is dealt out evenly."""
    clusters, first = np.unique(numbers, return_index=True)
    order = np.lexsort((first, targets[first]))  # clusters, class by class
    of_cluster = np.empty(len(clusters), np.int64)
    of_cluster[order] = np.arange(len(clusters)) % FOLDS
    return of_cluster[np.searchsorted(clusters, numbers)]


def cell_weights(cells: Rows) -> Array:
    """Weights of mean 1 by which all cells count the same."""
    _, numbers, counts = np.unique(cells, return_inverse=True, return_counts=True)
    return len(cells) / len(counts) / counts[numbers]


def out_of_fold(embeddings: Array, targets: Rows, cells: Rows, fold: Rows, classes: int, progress: Progress) -> Array:
    """Probabilities (n, classes) of each image by the fit without its fold."""
    done = progress.stage("labels", FOLDS + len(PENALTIES))
    probabilities = np.zeros((len(targets), classes))

    def predicted(number: int, penalty: float) -> Array:
        rest = fold != number
        mean, std = embeddings[rest].mean(axis=0), embeddings[rest].std(axis=0) + 1e-8
        x, weights = (embeddings - mean) / std, cell_weights(cells[rest])
        slopes, bias = l2_logistic(x[rest], targets[rest], classes, weights, penalty * len(weights))
        done(1)
        result: Array = softmax(x[~rest] @ slopes.T + bias, axis=1)
        return result

    def loss(penalty: float) -> float:
        rows = np.flatnonzero(fold == 0)
        own = predicted(0, penalty)[np.arange(len(rows)), targets[rows]]
        return float(-np.log(own.clip(1e-12)).mean())

    penalty = min(PENALTIES, key=loss)
    for number in range(FOLDS):
        probabilities[fold == number] = predicted(number, penalty)
    return probabilities


def judge(measured: Measurements, usable: NDArray[np.bool_], numbers: Rows, progress: Progress) -> Judged | None:
    """None where fewer than two classes have an image for each fold."""
    labels = np.array([one.item.label for one in measured.items])
    names, counts = np.unique(labels[usable], return_counts=True)
    classes = tuple(str(name) for name, count in zip(names, counts, strict=True) if count >= FOLDS)
    if len(classes) < 2:
        return None
    rows = np.flatnonzero(usable & np.isin(labels, classes))
    rows = rows[np.argsort([measured.items[row].item.sha256 for row in rows])]  # the same in whatever form they lie
    number = {label: n for n, label in enumerate(classes)}
    targets = np.array([number[label] for label in labels[rows]], np.int64)
    groups = [str(measured.items[row].item.group) for row in rows]
    _, cells = np.unique(
        [f"{label}\0{group}" for label, group in zip(labels[rows], groups, strict=True)], return_inverse=True
    )
    embeddings = measured.embeddings[rows].astype(np.float64)
    fold = folds(numbers[rows], targets)
    return Judged(rows, classes, targets, out_of_fold(embeddings, targets, cells, fold, len(classes), progress))


def confident_joint(probabilities: Array, targets: Rows) -> tuple[Rows, Rows]:
    """The class that each image is counted in, -1 for none; and the counts (given, counted in).

    An image counts in the most probable of those classes whose probability reaches the class's threshold: its mean over the
    images that are labelled so.
    """
    classes = probabilities.shape[1]
    thresholds = np.array([probabilities[targets == label, label].mean() for label in range(classes)])
    reached = probabilities >= thresholds
    counted = np.where(reached.any(axis=1), np.where(reached, probabilities, -1).argmax(axis=1), -1)
    joint = np.zeros((classes, classes), np.int64)
    np.add.at(joint, (targets[counted >= 0], counted[counted >= 0]), 1)
    return counted, joint


def suspects(judged: Judged, embeddings: NDArray[np.float32]) -> tuple[Rows, Rows, Array]:
    """Rows of `judged` with a likely wrong label, the class that each is likelier of, and by how much, 0..1.

    `embeddings` are those of its images, unit vectors (n, width).
    """
    counted, _ = confident_joint(judged.probabilities, judged.targets)
    rows = np.flatnonzero((counted >= 0) & (counted != judged.targets))
    margins = judged.probabilities[rows, counted[rows]] - judged.probabilities[rows, judged.targets[rows]]
    rows, margins = rows[margins >= MARGIN], margins[margins >= MARGIN]
    agreeing = np.zeros(len(rows), np.int64)
    for n, row in enumerate(rows):
        step()
        cosines = embeddings @ embeddings[row]
        cosines[row] = -np.inf
        nearest = np.argsort(-cosines, kind="stable")[:NEIGHBOURS]
        agreeing[n] = (judged.targets[nearest] == counted[row]).sum()
    kept = agreeing >= AGREEING
    return rows[kept], counted[rows[kept]], margins[kept]


def label_findings(measured: Measurements, judged: Judged) -> list[Finding]:
    findings = []
    for row, other, margin in zip(*suspects(judged, measured.embeddings[judged.rows]), strict=True):
        one, likely = measured.items[judged.rows[row]], judged.classes[other]
        own, others = judged.probabilities[row, judged.targets[row]], judged.probabilities[row, other]
        text = f"{one.item.label} in {one.split}, likelier {likely}: {others:.2f} against {own:.2f}"
        findings.append(Finding("labels", text, float(margin), (one,), likely))
    return findings
