"""Entropy of the judge's prediction: images whose class it is unsure of teach it most (Deliberate Practice, ICML 2025, arXiv
2502.15588).

In a refresh the judge has learned from what is carried over, too: refreshes of growing amounts are the paper's rounds. By
default the half of each class that the judge is least sure of is kept, by rank within a shard. A threshold, given or
calibrated on real images class by class, judges each image alone; so the early verdict can apply it to an unfinished one.
"""

from collections.abc import Collection, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipelines.filters.best import Best
from pipelines.filters.calibration import SLACK, calibrated, lower_threshold, validation_candidates
from pipelines.learning.resources import Resources
from pipelines.records import Candidate, Verdict
from pipelines.spec import EntropyFilter
from pipelines.vision.classifier import probabilities


def entropy(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """The Shannon entropy of probabilities (n, classes), in nats: 0 of a certain prediction, log(classes) of an even one."""
    nats: NDArray[np.float64] = -(shares * np.log(np.maximum(shares, np.finfo(np.float64).tiny))).sum(axis=1)
    return nats


class Entropy:
    def __init__(self, resources: Resources, spec: EntropyFilter) -> None:
        self.resources, self.spec = resources, spec

    def comparison(self) -> Best:
        return Best("entropy.nats", self.spec.effective_top, "least certain")

    def learn(self, labels: Collection[str]) -> None:
        """Train the judge, calibrate the thresholds."""
        self.resources.learner  # noqa: B018  (trained on first use)
        self.min_entropy  # noqa: B018

    @cached_property
    def min_entropy(self) -> dict[str, float]:
        """The least entropy of an image of each class."""
        classes, share = self.resources.source.classes, self.spec.calibrate
        if share is None:
            return dict.fromkeys(classes, self.spec.min_entropy or 0.0)

        def compute() -> list[float]:
            real = validation_candidates(self.resources, self.spec.type)
            nats: dict[str, list[float]] = {label: [] for label in classes}
            for candidate, value in zip(real, self.nats(real), strict=True):
                nats[candidate.request.label].append(value)
            return [lower_threshold(own, share) - SLACK if own else 0.0 for own in nats.values()]

        thresholds = calibrated(self.resources, self.spec, "min_entropy", ["validation"], self.facts, compute)
        return dict(zip(classes, thresholds.tolist(), strict=True))

    def facts(self) -> dict[str, object]:
        """What the entropies depend on."""
        judge = self.resources.judge_artifact(self.resources.learner_view)
        return {"judge": judge.digest, "concepts": [judge.key(judge.last)]}

    def nats(self, candidates: Sequence[Candidate]) -> list[float]:
        """The entropy of the judge's prediction for each image."""
        images = [self.resources.view.whole(candidate).image for candidate in candidates]
        return [float(value) for value in entropy(probabilities(self.resources.learner.scores(images)))]

    def judge(self, candidates: Sequence[Candidate]) -> list[Verdict]:
        return [
            self.one(candidate.request.label, value)
            for candidate, value in zip(candidates, self.nats(candidates), strict=True)
        ]

    def one(self, label: str, nats: float) -> Verdict:
        certain = nats < self.min_entropy[label]
        return Verdict({"nats": nats}, f"the judge is sure of it, for a {label}" if certain else None)
