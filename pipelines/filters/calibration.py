"""Calibration: thresholds that a given share of the real validation images passes."""

from collections.abc import Sequence
from math import ceil, nextafter

from pipelines.learning.resources import Resources
from pipelines.records import Candidate, Request
from pipelines.source.requirements import check_calibration

SLACK = 1e-6  # difference of a network's outputs from batch to batch


def validation_candidates(resources: Resources, filter_type: str) -> list[Candidate]:
    """The real validation images, as candidates. Raises SourceError when there are none."""
    check_calibration(filter_type, resources.source)
    examples = resources.view.validation
    return [
        Candidate(Request(index=n, attempt=0, seed=0, label=label, method="real", prompt=""), image)
        for n, (image, label) in enumerate(zip(examples.images, examples.labels, strict=True))
    ]


def lower_threshold(scores: Sequence[float], share: float) -> float:
    """The largest threshold that at least a `share` of the scores reach, 0 < share <= 1."""
    return sorted(scores, reverse=True)[max(1, ceil(share * len(scores) - 1e-9)) - 1]


def exclusive_lower_threshold(scores: Sequence[float], share: float) -> float:
    """The largest threshold that at least a `share` of the scores lie above."""
    return nextafter(lower_threshold(scores, share), float("-inf"))


def upper_threshold(scores: Sequence[float], share: float) -> float:
    """The smallest threshold that at least a `share` of the scores do not exceed."""
    return -lower_threshold([-score for score in scores], share)


def share_of_each(share: float, thresholds: int) -> float:
    """The share to pass each of so many thresholds, that at least `share` passes all of them (Bonferroni)."""
    return 1 - (1 - share) / thresholds
