"""What a linear probe gains by a few samples: the evaluation of a version in small.

A logistic regression of features is trained on the training images, and once more with the samples beside them, weighted
as a classifier's batches would be: half generated. Both are tested on held-out real images.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipelines.chance import derive
from pipelines.quality.comparison import NO_ROWS, Rows
from pipelines.quality.features import Features
from pipelines.training.logistic import Array, l2_logistic

TESTS = 20  # held-out images, below which the training images are tested on, each out of fold
FOLDS = 5
REDRAWS = 20  # of samples and test images, with replacement
QUANTILES = (0.1, 0.9)  # of the gain over these
PENALTY = 3.0


@dataclass(frozen=True, slots=True)
class Gain:
    """An accuracy of the probe, 0..1, and how far it might have come out otherwise."""

    before: float  # of real images alone
    after: float  # with the samples beside them
    low: float  # of after - before: what one in ten redraws would fall below
    high: float  # what one in ten would exceed

    @property
    def gain(self) -> float:
        return self.after - self.before


def inputs(images: Features) -> Array:
    """(n, width)"""
    return np.concatenate([images.embeddings, images.statistics, images.thumbnails], axis=1).astype(np.float64)


def accuracies(right: NDArray[np.bool_], kinds: NDArray[np.int64]) -> NDArray[np.float64]:
    """Of images (n,) on average, and of the worst kind."""
    counts, hits = np.bincount(kinds), np.bincount(kinds, right)
    return np.array([right.mean(), (hits[counts > 0] / counts[counts > 0]).min()])


@dataclass(frozen=True)
class Trial:
    """Real images, some of which are for tests, and samples."""

    train: Features
    held_out: Features
    samples: Features
    gammas: Sequence[float]  # by class: the weight of a generated image's loss
    seed: int

    @cached_property
    def real(self) -> Features:
        return self.train.followed_by(self.held_out) if len(self.held_out) >= TESTS else self.train

    @cached_property
    def splits(self) -> list[tuple[Rows, Rows]]:
        """Rows of real images to train on, and to test on."""
        count, size = len(self.train), len(self.real)
        if size > count:
            return [(np.arange(count), np.arange(count, size))]
        order = np.random.default_rng(derive(self.seed, "folds")).permutation(count)
        order = order[np.argsort(self.train.labels[order], kind="stable")]
        fold = np.empty(count, np.int64)
        fold[order] = np.arange(count) % FOLDS
        return [(np.flatnonzero(fold != f), np.flatnonzero(fold == f)) for f in range(FOLDS)]

    @cached_property
    def kinds(self) -> NDArray[np.int64]:
        """The class and group of each test image, as a number; of its class alone where groups are unknown."""
        tests = np.concatenate([test for _, test in self.splits])
        names = [f"{self.real.facts[row].label} {self.real.facts[row].group}" for row in tests]
        return np.unique(names, return_inverse=True)[1]

    @cached_property
    def standard(self) -> tuple[Array, Array]:
        """The inputs of real images and of samples, by the real ones' mean and spread."""
        real = inputs(self.real)
        mean, spread = real.mean(axis=0), real.std(axis=0) + 1e-6
        return (real - mean) / spread, (inputs(self.samples) - mean) / spread

    def fit(self, train: Rows, drawn: Rows) -> tuple[Array, Array]:
        """A probe of real images, and of samples that weigh as much together, times their class's gamma."""
        real, samples = self.standard
        labels = self.samples.labels[drawn]
        weights = np.array(self.gammas, np.float64)[labels] * len(train) / max(1, len(drawn))
        x, y = np.concatenate([real[train], samples[drawn]]), np.concatenate([self.real.labels[train], labels])
        return l2_logistic(x, y, len(self.gammas), np.concatenate([np.ones(len(train)), weights]), PENALTY)

    def right(self, drawn: Rows) -> NDArray[np.bool_]:
        """Of every test image, whether a probe is right about it that was trained with the samples of these rows: without
        those that were made from an image of the test."""
        sources = np.array([one.source or "" for one in self.samples.facts])
        result = []
        for train, test in self.splits:
            own = np.isin(sources[drawn], [self.real.facts[row].id for row in test])
            slopes, bias = self.fit(train, drawn[~own])
            result.append((self.standard[0][test] @ slopes.T + bias).argmax(axis=1) == self.real.labels[test])
        return np.concatenate(result)

    def gains(self) -> tuple[Gain, Gain]:
        """Of the average accuracy, and of that of the worst class and group."""
        rng, count = np.random.default_rng(derive(self.seed, "redraws")), len(self.samples)
        before, after = self.right(NO_ROWS), self.right(np.arange(count))
        changes = []
        for _ in range(REDRAWS):
            again, tests = self.right(rng.integers(count, size=count)), rng.integers(len(before), size=len(before))
            changes.append(accuracies(again[tests], self.kinds[tests]) - accuracies(before[tests], self.kinds[tests]))
        old, new = accuracies(before, self.kinds), accuracies(after, self.kinds)
        # Redraws hold fewer different images, and gain less: of them the spread is taken, not the place.
        low, high = new - old + np.quantile(changes - np.median(changes, axis=0), QUANTILES, axis=0)
        figures = zip(old, new, low, high, strict=True)
        average, worst = (Gain(*map(float, row)) for row in figures)
        return average, worst

    def agreement(self) -> float:
        """The share of samples that a probe of the real images takes for what they are labelled as."""
        slopes, bias = self.fit(np.arange(len(self.real)), NO_ROWS)
        return float(((self.standard[1] @ slopes.T + bias).argmax(axis=1) == self.samples.labels).mean())
