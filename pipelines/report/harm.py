"""Do generated images harm? Accuracies that are below those of real images alone by more than chance."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import hypot, sqrt
from statistics import NormalDist
from typing import Any

from pipelines.report.worst import worst_part
from pipelines.spec.arms import BASELINE, VERSION

FEWEST = 1.5  # test images by which accuracies must differ at least
CHANCE = 0.05  # that a version without effect is taken to harm a class, of all classes together
Accuracy = Mapping[str, Any]  # mean, std and values, one a seed: 0..1


def share(value: float) -> str:
    return f"{100 * value:.1f} %"


@dataclass(frozen=True, slots=True)
class Harm:
    """An accuracy that generated images lower."""

    name: str  # "worst-group accuracy", "average accuracy", "class boot"
    before: float  # with real images alone
    after: float

    @property
    def text(self) -> str:
        return f"{self.name} {share(self.before)} → {share(self.after)}, {100 * (self.before - self.after):.1f} points"


def image_counts(evaluation: Mapping[str, Any]) -> dict[str, int]:
    """Test images that average and worst group are of; of the latter those of the smallest. 0 where it is not known."""
    counts = evaluation.get("test_images", {}).values()
    return {"worst_group": min(counts, default=0), "average": sum(counts)}


def class_counts(arm: Mapping[str, Any]) -> dict[str, int]:
    """Test images of each class, by the arm's confusion matrix; none of evaluations that have no such."""
    seeds = len(arm["average"]["values"])
    return {label: sum(row.values()) // seeds for label, row in arm.get("confusion", {}).items()}


def deviation(accuracy: Accuracy, count: int) -> float:
    """Standard deviation of an accuracy: over its seeds; of one seed, what so many test images make it (0: not known)."""
    if len(accuracy["values"]) > 1 or not count:
        return float(accuracy["std"])
    smoothed = (accuracy["mean"] * count + 1) / (count + 2)  # lest one that is always right had none
    return sqrt(smoothed * (1 - smoothed) / count)


def is_below(after: Accuracy, before: Accuracy, count: int) -> bool:
    """Whether an accuracy is below another by more than their spread and than an image of so many (0: not known)."""
    drop = before["mean"] - after["mean"]
    return drop > hypot(deviation(before, count), deviation(after, count)) and not 0 < drop * count < FEWEST


def is_significant(after: Accuracy, before: Accuracy, count: int, comparisons: int) -> bool:
    """Whether so many test images would hardly show such a drop by chance in any of so many comparisons (Bonferroni)."""
    both = (before["mean"] + after["mean"]) / 2
    error = sqrt(2 * both * (1 - both) / count)
    return bool(before["mean"] - after["mean"] > NormalDist().inv_cdf(1 - CHANCE / comparisons) * error)


def comparable(evaluation: Mapping[str, Any]) -> bool:
    """Whether an evaluation compares samples, of which there are some, with real images alone."""
    kept = evaluation.get("counts", {"kept": 1})
    return {BASELINE, VERSION} <= evaluation["arms"].keys() and bool(kept["kept"] + kept.get("carried", 0))


def harms(evaluation: Mapping[str, Any]) -> list[Harm]:
    """What the samples of a version lower, where there are any: the accuracy of the worst group, the average, and then
    that of classes, the most first. Of many classes some are always lower by chance, so a class has to be significantly so.
    """
    return [*whole_harms(evaluation), *class_harms(evaluation)] if comparable(evaluation) else []


def whole_harms(evaluation: Mapping[str, Any]) -> list[Harm]:
    """The accuracies of the worst group and on average, where they are lowered."""
    arms, counts = evaluation["arms"], image_counts(evaluation)
    real, version = arms[BASELINE], arms[VERSION]
    names = {"worst_group": f"{worst_part(arms).replace(' ', '-')} accuracy", "average": "average accuracy"}
    return [
        Harm(name, real[key]["mean"], version[key]["mean"])
        for key, name in names.items()
        if is_below(version[key], real[key], counts[key])
    ]


def class_harms(evaluation: Mapping[str, Any]) -> list[Harm]:
    """The accuracies of classes, where they are lowered significantly, the most first."""
    real, version = evaluation["arms"][BASELINE], evaluation["arms"][VERSION]
    classes, sizes = version.get("classes", {}), class_counts(real)
    lowered = [
        Harm(f"class {label}", before["mean"], classes[label]["mean"])
        for label, before in real.get("classes", {}).items()
        if label in classes
        and label in sizes
        and is_below(classes[label], before, sizes[label])
        and is_significant(classes[label], before, sizes[label], len(sizes))
    ]
    return sorted(lowered, key=lambda harm: harm.after - harm.before)
