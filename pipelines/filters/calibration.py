"""Calibration: what a filter takes from real images, as thresholds that a given share of the validation images passes.

It is computed in `learn`, and stored: on another card a score at the edge lies on the other side of its own threshold.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from math import ceil, nextafter
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipelines.learning.resources import Resources
from pipelines.records import Candidate, Request
from pipelines.source.requirements import check_calibration
from pipelines.spec import FilterSpec
from pipelines.store.canonical import canonical

SLACK = 1e-6  # difference of a network's outputs from batch to batch
VALUES, FACTS = "values.npy", "facts.json"


def calibrated(
    resources: Resources,
    spec: FilterSpec,
    name: str,
    splits: Sequence[str],
    facts: Callable[[], Mapping[str, object]],
    compute: Callable[[], ArrayLike],
) -> NDArray[Any]:
    """What a filter takes by this name from the images of these splits: what the version's artifacts hold, or else computed.
    `facts` are those that it depends on beside source and filter."""

    def known() -> dict[str, object]:
        return {
            **facts(),
            "filter": spec.model_dump(),
            "value": name,
            "source": resources.source.fingerprint,
            "side": resources.view.resolution,
            "framing": resources.view.framing,
            "images": sorted(item.sha256 for split in splits for item in resources.source.splits[split]),
        }

    def make(_: object) -> dict[str, bytes]:
        buffer = io.BytesIO()
        np.save(buffer, np.asarray(compute()), allow_pickle=False)
        return {VALUES: buffer.getvalue(), FACTS: canonical(known())}

    artifact = resources.artifacts.get_or_make(f"{spec.type}/{name}", "calibration", known, FACTS, make)
    values: NDArray[Any] = np.load(io.BytesIO(artifact.get(VALUES)), allow_pickle=False)
    return values


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
