"""How good a classifier is: on average, by class, and on its worst group."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pipelines.spec import Checkpoint

MANY, FEW = 100, 20  # training images of a class
SIZES = ("many", "medium", "few")  # kinds of classes, by these numbers
Confusion = dict[str, dict[str, int]]  # images by true class and predicted class; what does not occur is left out


@dataclass(frozen=True, slots=True)
class Score:
    average: float  # accuracy, 0..1
    worst_group: float  # accuracy of the worst (class, group); of the worst class where groups are unknown
    groups: dict[str, float]  # accuracy of each: "boot on grass", or "boot"
    ece: float  # expected calibration error, 15 bins (Guo et al. 2017, arXiv 1706.04599)
    classes: dict[str, float] = field(default_factory=dict)  # accuracy of each class
    confusion: Confusion = field(default_factory=dict)
    macro_std: float = 0.0  # how far the accuracies of a class's groups lie apart: see `macro_std`

    @property
    def choice(self) -> tuple[float, float]:
        """What a checkpoint is chosen by: worst group first, average to break ties."""
        return self.worst_group, self.average

    def merit(self, checkpoint: Checkpoint) -> tuple[float, ...]:
        """The same, where the spec says by what: the average over kinds of generated images, each counted as much."""
        if checkpoint == "generated":
            return (float(np.mean(list(self.groups.values()))),)
        return (self.average,) if checkpoint == "average" else self.choice


def group_name(label: str, group: str | None) -> str:
    return label if group is None else f"{label} on {group}"


def score(logits: Tensor, classes: Sequence[str], labels: Sequence[str], groups: Sequence[str | None]) -> Score:
    """Score logits (n, classes). Without group labels a class is a group: the stated proxy."""
    truth = np.array([classes.index(label) for label in labels])
    shares = logits.double().softmax(dim=1).numpy()
    predicted = shares.argmax(axis=1)
    right = predicted == truth
    names = np.array([group_name(label, group) for label, group in zip(labels, groups, strict=True)])
    by_group = {str(name): float(right[names == name].mean()) for name in sorted(set(names))}
    by_class = {c: float(right[truth == i].mean()) for i, c in enumerate(classes) if (truth == i).any()}
    error = calibration_error(shares.max(axis=1), right)
    matrix, spread = confusion(classes, truth, predicted), macro_std(right, truth, names)
    return Score(float(right.mean()), min(by_group.values()), by_group, error, by_class, matrix, spread)


def macro_std(right: NDArray[np.bool_], truth: NDArray[np.int64], names: NDArray[np.str_]) -> float:
    """MacroStd (arXiv 2212.08649), 0..0.5: the standard deviation of the accuracies of a class's groups, weighted by their
    size, as the mean over classes; 0 where groups do not matter, or are unknown."""
    spreads = []
    for label in np.unique(truth):
        _, group, sizes = np.unique(names[truth == label], return_inverse=True, return_counts=True)
        accuracies = np.bincount(group, right[truth == label]) / sizes
        spreads.append(np.sqrt(np.average((accuracies - right[truth == label].mean()) ** 2, weights=sizes)))
    return float(np.mean(spreads))


def confusion(classes: Sequence[str], truth: NDArray[np.int64], predicted: NDArray[np.int64]) -> Confusion:
    """The confusion matrix of class numbers, in the order of the classes."""
    matrix: Confusion = {}
    for (row, column), count in sorted(Counter(zip(truth.tolist(), predicted.tolist(), strict=True)).items()):
        matrix.setdefault(classes[row], {})[classes[column]] = count
    return matrix


def summed(matrices: Sequence[Confusion]) -> Confusion:
    """The confusion matrices of several seeds as one. Empty unless all of them are there."""
    total: Confusion = {}
    for matrix in matrices if all(matrices) else ():
        for true, row in matrix.items():
            into = total.setdefault(true, {})
            for predicted, count in row.items():
                into[predicted] = into.get(predicted, 0) + count
    return total


def shots(classes: Mapping[str, float], sizes: Mapping[str, int]) -> dict[str, float]:
    """Mean accuracy of the classes with many training images (over 100), few (under 20), and those between.

    Liu et al. 2019 (arXiv 1904.05160). Kinds without a class are left out.
    """
    kinds: dict[str, list[float]] = {}
    for name, accuracy in classes.items():
        kind = "many" if sizes[name] > MANY else "few" if sizes[name] < FEW else "medium"
        kinds.setdefault(kind, []).append(accuracy)
    return {kind: float(np.mean(kinds[kind])) for kind in SIZES if kind in kinds}


def calibration_error(confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int = 15) -> float:
    """Mean distance between confidence and accuracy over equal bins, weighted by their size: 0..1."""
    number = np.minimum((confidence * bins).astype(int), bins - 1)
    members = [number == b for b in range(bins) if (number == b).any()]
    return float(sum(m.mean() * abs(confidence[m].mean() - right[m].mean()) for m in members))


def summary(values: Sequence[float]) -> dict[str, float | list[float]]:
    """Mean and sample standard deviation over seeds, with the values themselves."""
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return {"mean": float(np.mean(values)), "std": spread, "values": list(values)}
