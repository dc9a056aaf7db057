"""What a version changes in the confusion matrix: which classes gain by it, which lose, and what they are taken for."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipelines.spec.arms import BASELINE, VERSION

MATRIX = 12  # classes up to which the page has the whole matrix
PAIRS = 20  # of true and predicted class, those that change most
STEPS = (0.01, 0.05, 0.15)  # from which share on a change has the next colour


@dataclass(frozen=True, slots=True)
class Change:
    """Of the test images of one class, the share that is taken for another, or for itself."""

    true: str
    predicted: str
    before: float  # with real images alone
    after: float  # with the version

    @property
    def change(self) -> float:
        return self.after - self.before

    @property
    def colour(self) -> str:
        """Of its cell, a class of the style sheet: for the better or for the worse, in three steps; "" for none."""
        step = sum(abs(self.change) >= limit - 1e-9 for limit in STEPS)
        better = (self.change > 0) == (self.true == self.predicted)
        return f"{'up' if better else 'down'}{step}" if step else ""


@dataclass(frozen=True, slots=True)
class ConfusionChange:
    classes: list[Change]  # of each class for itself, what gains most first
    pairs: list[Change]  # of one class for another, what changes most first
    cells: dict[tuple[str, str], Change]  # all of the matrix, where it is small; else none

    @property
    def names(self) -> list[str]:
        """Of the matrix's rows and columns."""
        return sorted({name for pair in self.cells for name in pair})

    def as_json(self) -> dict[str, Any]:
        return {kind: [{**asdict(c), "change": c.change} for c in getattr(self, kind)] for kind in ("classes", "pairs")}

    def main(self, label: str) -> Change | None:
        """What a class is taken for more often, or less often, than before: the pair that explains most of its change."""
        return next((pair for pair in self.pairs if pair.true == label and pair.change), None)


def shares(matrix: Mapping[str, Mapping[str, int]], true: str, predicted: str) -> float:
    row = matrix[true]
    return row.get(predicted, 0) / sum(row.values())


def confusion_change(evaluation: Mapping[str, Any]) -> ConfusionChange | None:
    """The version's confusion matrix less that of real images alone. None where either is not there."""
    before, after = (evaluation["arms"].get(arm, {}).get("confusion") for arm in (BASELINE, VERSION))
    if not before or not after:
        return None

    def change(true: str, predicted: str) -> Change:
        return Change(true, predicted, shares(before, true, predicted), shares(after, true, predicted))

    labels = [label for label in before if label in after]
    own = sorted((change(label, label) for label in labels), key=lambda c: (-c.change, c.true))
    others = [change(t, p) for t in labels for p in dict.fromkeys((*before[t], *after[t])) if p != t]
    others.sort(key=lambda c: (-abs(c.change), c.true, c.predicted))
    names = sorted({*labels, *(pair.predicted for pair in others)})
    cells = {(t, p): change(t, p) for t in labels for p in names} if len(names) <= MATRIX else {}
    return ConfusionChange(own, others[:PAIRS], cells)


def most_changed(changes: Sequence[Change], most: int) -> list[Change]:
    """Of changes in their order, those that gain most and those that lose most, half of each."""
    half = most // 2
    return list(changes) if len(changes) <= most else [*changes[:half], *changes[-half:]]
