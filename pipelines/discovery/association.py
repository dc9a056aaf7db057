"""How well an attribute foretells the class: a logistic regression on the numbers that describe it, out of fold."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from pipelines.training.logistic import Array, l2_logistic

FOLDS = 5
PENALTY = 1e-2  # L2, per unit of the mean cross-entropy
Targets = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Association:
    """Of an attribute and the classes, among training images and others."""

    train: Targets  # (n,), the class that the attribute of each training image speaks for, out of fold
    held_out: Targets  # (m,), of each held-out one
    accuracy: float  # share of the training images whose own class that is, the mean over classes, 0..1
    statistic: float  # how many standard errors that is above chance


def weights(targets: Targets, classes: int) -> Array:
    """By which all classes count the same: mean 1."""
    counts = np.bincount(targets, minlength=classes)
    return len(targets) / classes / counts[targets]


def predicted(train: Array, targets: Targets, rows: Array, classes: int) -> Targets:
    """The class of each of some rows (m, width), by a fit to training rows (n, width)."""
    mean, std = train.mean(axis=0), train.std(axis=0) + 1e-6
    slopes, bias = l2_logistic((train - mean) / std, targets, classes, weights(targets, classes), PENALTY * len(train))
    return np.asarray(softmax((rows - mean) / std @ slopes.T + bias, axis=1).argmax(axis=1), np.int64)


def associate(train: Array, targets: Targets, held_out: Array, classes: int) -> Association:
    """Every class needs two training images at least."""
    fold = np.empty(len(targets), np.int64)
    for label in range(classes):
        rows = np.flatnonzero(targets == label)
        fold[rows] = np.arange(len(rows)) % FOLDS
    of_train = np.empty(len(targets), np.int64)
    for number in range(FOLDS):
        rest, own = fold != number, fold == number
        of_train[own] = predicted(train[rest], targets[rest], train[own], classes)
    right = [(of_train[targets == label] == label) for label in range(classes)]
    accuracy, chance = float(np.mean([one.mean() for one in right])), 1 / classes
    spread = np.sqrt(sum(chance * (1 - chance) / len(one) for one in right)) / classes
    statistic = float((accuracy - chance) / spread)
    return Association(of_train, predicted(train, targets, held_out, classes), accuracy, statistic)
