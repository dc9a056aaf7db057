"""Thresholds from real images: what a stated share of the held-out ones passes."""

from collections.abc import Sequence
from math import ceil, nextafter

from pipelines.needs import check_calibration
from pipelines.records import Candidate, Request
from pipelines.workbench import Workbench

SLACK = 1e-6  # a network's numbers differ by so much from batch to batch


def held_out(bench: Workbench, filter_type: str) -> list[Candidate]:
    """The real validation images, as if they were generated. Raises SourceError when there are none."""
    check_calibration(filter_type, bench.source)
    examples = bench.validation
    return [
        Candidate(Request(index=n, attempt=0, seed=0, label=label, method="real", prompt=""), image)
        for n, (image, label) in enumerate(zip(examples.images, examples.labels, strict=True))
    ]


def reached(scores: Sequence[float], share: float) -> float:
    """The largest threshold that at least a `share` of the scores reach, 0 < share <= 1."""
    return sorted(scores, reverse=True)[max(1, ceil(share * len(scores) - 1e-9)) - 1]


def exceeded(scores: Sequence[float], share: float) -> float:
    """The largest threshold that at least a `share` of the scores lie above."""
    return nextafter(reached(scores, share), float("-inf"))


def kept_below(scores: Sequence[float], share: float) -> float:
    """The smallest threshold that at least a `share` of the scores do not exceed."""
    return -reached([-score for score in scores], share)


def each(share: float, thresholds: int) -> float:
    """The share that must pass each of so many thresholds for `share` to pass all of them, however they fall."""
    return 1 - (1 - share) / thresholds
