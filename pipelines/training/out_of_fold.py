"""A light classifier of features: multinomial logistic regression with an L2 penalty, and what it says out of fold."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from pipelines.training.logistic import Array, l2_logistic

FOLDS = 5


@dataclass(frozen=True)
class Judge:
    """Classifiers that were each trained without one fold of the rows."""

    mean: Array
    spread: Array
    models: list[tuple[Array, Array]]
    fold: NDArray[np.int64]  # (n,): that each row was left out of

    def log_shares(self, x: NDArray[np.float32], model: NDArray[np.int64]) -> Array:
        """Log-probabilities (n, classes) of each row by one of the models."""
        standard = (x - self.mean) / self.spread
        logits = np.stack([standard @ slopes.T + bias for slopes, bias in self.models])
        return np.asarray(log_softmax(logits[model, np.arange(len(x))], axis=1))

    def out_of_fold(self, x: NDArray[np.float32]) -> Array:
        """Of the rows that it was trained on, by the model that did not see them."""
        return self.log_shares(x, self.fold)

    def of_others(self, x: NDArray[np.float32]) -> Array:
        """Of other rows: by one model each, as out of fold, so that both can be compared."""
        return self.log_shares(x, np.arange(len(x)) % len(self.models))


def train(
    x: NDArray[np.float32], targets: NDArray[np.int64], classes: int, seed: int, weights: Array, penalty: float = 3.0
) -> Judge:
    """A judge of rows (n, width), which are standardised. Folds have equally many of each class."""
    order = np.random.default_rng(seed).permutation(len(x))
    fold = np.zeros(len(x), np.int64)
    for c in range(classes):
        rows = order[targets[order] == c]
        fold[rows] = np.arange(len(rows)) % FOLDS
    mean, spread = x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64) + 1e-6
    standard = (x - mean) / spread
    models = [
        l2_logistic(standard[fold != f], targets[fold != f], classes, weights[fold != f], penalty) for f in range(FOLDS)
    ]
    return Judge(mean, spread, models, fold)
