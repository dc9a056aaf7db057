"""Accuracy against the intensity of a distribution shift (Control+Shift, arXiv 2409.07940).

The intensity of a shift is 1 minus the overlap of the training and the test distribution: here of the groups that a class
comes with. From the training images' own distribution each class is moved to the groups that it comes with least, and the
test images of each group are counted by their share of that mixture. Nothing is trained or tested again: of groups, accuracy
at a mixture is the mixture of accuracies, and so falls in a line. Not in it: the paper's own shifts, which are continuous.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.records import Item
from pipelines.training.metrics import group_name, summary

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the way from the training distribution to the largest shift
Counts = Mapping[str, Mapping[str | None, int]]  # images of each class by group
Distribution = NDArray[np.float64]  # the share of each group of a class, (groups,)


def group_counts(items: Sequence[Item]) -> Counts:
    counts: dict[str, dict[str | None, int]] = {}
    for item in items:
        groups = counts.setdefault(item.label, {})
        groups[item.group] = groups.get(item.group, 0) + 1
    return counts


def training_shares(counts: Sequence[int]) -> Distribution:
    return np.array(counts, np.float64) / sum(counts)


def rarest(shares: Distribution) -> Distribution:
    """All on the groups that are rarest, evenly: of what is possible, what overlaps least."""
    least = np.isclose(shares, shares.min())
    return np.asarray(least / least.sum())


def overlap(one: Distribution, other: Distribution) -> float:
    """What two distributions share, 0..1."""
    return float(np.minimum(one, other).sum())


def accuracy_by_shift(arms: Mapping[str, Sequence[Mapping[str, Any]]], train: Counts, test: Counts) -> dict[str, Any] | None:
    """The `intensities`, 0..1, and the accuracy of each of the `arms` there: by their runs, one a seed.

    Classes keep the shares that they have of the test images, and of groups those count that have test images. None where no
    class has training images in two of them, as where groups are unknown.
    """
    moves: list[tuple[float, list[str], Distribution, Distribution]] = []  # share of the class, groups, from and to where
    total = sum(sum(groups.values()) for groups in test.values())
    for label, groups in test.items():
        names = sorted(groups, key=str)
        counts = [train[label].get(group, 0) for group in names]
        if not sum(counts):
            return None
        shares = training_shares(counts)
        members = [group_name(label, group) for group in names]
        moves.append((sum(groups.values()) / total, members, shares, rarest(shares)))
    largest = sum(weight * (1 - overlap(start, end)) for weight, _, start, end in moves)
    if not largest:
        return None

    def accuracy(run: Mapping[str, Any], share: float) -> float:
        mixtures = ((weight, names, (1 - share) * start + share * end) for weight, names, start, end in moves)
        return float(sum(weight * (mix @ [run["groups"][name] for name in names]) for weight, names, mix in mixtures))

    curves = {arm: [summary([accuracy(run, share) for run in runs]) for share in SHARES] for arm, runs in arms.items()}
    return {"intensities": [share * largest for share in SHARES], "arms": curves}
