"""A version's evaluation as pages have it: accuracies by group and class, and what is taken for what."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.report.worst import worst_part
from pipelines.spec.arms import ARMS, BASELINE, VERSION
from pipelines.store import keys
from pipelines.store.object_store import Store

MATRIX = 15  # classes up to which the whole matrix is displayed
PAIRS = 20  # of true and predicted class, of more classes
STEPS = (0.02, 0.1, 0.3, 0.6)  # shares from which on a cell has the next colour

Arms = Mapping[str, Any]  # by name, as in evaluation.json


@dataclass(frozen=True, slots=True)
class Cell:
    """The share of a class's test images that are taken for one class."""

    share: float  # 0..1
    right: bool

    @property
    def colour(self) -> str:
        """A class of the style: of the share, in steps, and whether it is right."""
        step = sum(self.share >= limit for limit in STEPS)
        return f"{'right' if self.right else 'wrong'}{step}" if step else ""


@dataclass(frozen=True, slots=True)
class Confusion:
    """The confusion matrix of one arm, over all seeds."""

    title: str
    classes: list[str]  # the columns: predicted
    rows: dict[str, list[Cell]]  # by true class; none of many classes
    pairs: list[tuple[str, str, float]]  # true and predicted class, and the share: the most frequent confusions


def evaluation(store: Store, root: str) -> dict[str, Any]:
    """The arms of a version; none of one that was not evaluated."""
    key = keys.evaluation(root)
    arms: dict[str, Any] = store.json(key)["arms"] if store.exists(key) else {}
    return {arm: arms[arm] for arm in ARMS if arm in arms}


def titles(arms: Arms) -> dict[str, str]:
    return {arm: ARMS[arm].title for arm in arms}


def accuracies(arms: Arms) -> dict[str, dict[str, Any]]:
    """Of each part of the test images, by its name, the accuracy of each arm that has one: mean, std, values."""
    if not arms:
        return {}
    worst = worst_part(arms).capitalize()
    rows = {name: {arm: arms[arm][key] for arm in arms} for name, key in ((worst, "worst_group"), ("Average", "average"))}
    for kind in ("groups", "classes"):
        for part in dict.fromkeys(part for result in arms.values() for part in result.get(kind, {})):
            rows[part] = {arm: result[kind][part] for arm, result in arms.items() if part in result.get(kind, {})}
    return rows


def confusion(title: str, arm: Mapping[str, Any]) -> Confusion | None:
    """None of an evaluation of before it was counted."""
    counts: dict[str, dict[str, int]] = arm.get("confusion") or {}
    if not counts:
        return None
    classes = list(dict.fromkeys([*counts, *sorted({name for row in counts.values() for name in row})]))
    shares = {true: {name: count / sum(row.values()) for name, count in row.items()} for true, row in counts.items()}
    cells = {true: [Cell(row.get(name, 0.0), name == true) for name in classes] for true, row in shares.items()}
    pairs = [(true, name, share) for true, row in shares.items() for name, share in row.items() if name != true and share]
    pairs.sort(key=lambda pair: (-pair[2], pair[0], pair[1]))
    return Confusion(title, classes, cells if len(classes) <= MATRIX else {}, pairs[:PAIRS])


def confusions(arms: Arms) -> list[Confusion]:
    """Of a classifier trained on real images alone, and of one trained on the version, too."""
    matrices = (confusion(ARMS[arm].title, arms[arm]) for arm in (BASELINE, VERSION) if arm in arms)
    return [one for one in matrices if one is not None]
