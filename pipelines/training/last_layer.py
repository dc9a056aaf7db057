"""The last layer retrained on images in which every group is as frequent (DFR, ICLR 2023, arXiv 2204.02937).

As published: logistic regression with an L1 penalty on standardised features of group-balanced subsets of the images,
averaged over the subsets. The penalty is chosen by halves: fitted on one, measured on the other.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.records import Examples
from pipelines.training.group_dro import group_numbers
from pipelines.training.logistic import Array, l1_logistic
from pipelines.training.metrics import Score, score
from pipelines.vision.classifier import Classifier

STRENGTHS = (1.0, 0.7, 0.3, 0.1, 0.07, 0.03, 0.01)  # of the data against the penalty
SUBSETS = 20  # group-balanced subsets averaged over
Rows = NDArray[np.int64]


def retrain(model: Classifier, examples: Examples, classes: Sequence[str], seed: int) -> None:
    """Give a classifier another last layer, fitted to images by the groups that they have."""
    features, targets = (
        model.features(examples.images).double().numpy(),
        np.array([*map(classes.index, examples.labels)]),
    )
    groups, rng = group_numbers(examples).numpy(), np.random.default_rng(seed)
    half, other = halves(groups, rng)
    measured = other if len(other) else half  # there is one image of each group alone

    def trained(rows: Rows, strength: float) -> tuple[Array, Array]:
        """Weights and biases for the features as they are."""
        x, y = features[rows], targets[rows]
        mean, std = x.mean(axis=0), x.std(axis=0) + 1e-8
        standard = (x - mean) / std
        fits = [
            l1_logistic(standard[subset], y[subset], len(classes), strength)
            for subset in (balanced(groups[rows], rng) for _ in range(SUBSETS))
        ]
        weights, biases = (np.mean(part, axis=0) for part in zip(*fits, strict=True))
        return weights / std, biases - weights @ (mean / std)

    def held_out(strength: float) -> Score:
        weights, biases = trained(half, strength)
        logits = torch.from_numpy(features[measured] @ weights.T + biases)
        part = examples.pick(measured.tolist())
        return score(logits, classes, part.labels, part.groups)

    best = max(STRENGTHS, key=lambda strength: held_out(strength).choice)
    model.set_head(*map(torch.from_numpy, trained(np.arange(len(targets)), best)))


def halves(groups: Rows, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Rows in two halves at random, every group as evenly as can be; the first has at least one of each."""
    order = rng.permutation(len(groups))
    order = order[np.argsort(groups[order], kind="stable")]
    place = np.concatenate([np.arange(count) for count in np.bincount(groups) if count])
    return order[place % 2 == 0], order[place % 2 == 1]


def balanced(groups: Rows, rng: np.random.Generator) -> Rows:
    """Rows drawn at random, as many of each group as the smallest has."""
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    size = min(map(len, members))
    return np.concatenate([rng.choice(rows, size, replace=False) for rows in members])
