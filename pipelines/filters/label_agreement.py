"""The prediction head of DDB (arXiv 2503.17226): what the plain classifier sees must no longer be what was painted over.

Source and target have thresholds of their own; the paper's figure and code each use one index for both.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipelines.calibration import SLACK, held_out, reached
from pipelines.records import Candidate, Verdict
from pipelines.spec import LabelAgreementFilter
from pipelines.vision.classifier import probabilities
from pipelines.workbench import Workbench, isolated

TYPICAL = 300  # images a class over which the default threshold is averaged


class LabelAgreement:
    def __init__(self, bench: Workbench, spec: LabelAgreementFilter) -> None:
        self.bench, self.spec = bench, spec

    @cached_property
    def max_origin(self) -> dict[str, float]:
        """The largest allowed probability of each painted-over class."""
        if self.spec.max_origin is not None:
            return dict.fromkeys(self.bench.source.classes, self.spec.max_origin)
        return {c: float(np.mean([p for _, p in ranked[:TYPICAL]])) for c, ranked in self.bench.ranking.items()}

    @cached_property
    def min_target(self) -> float:
        """The least probability of the class that was painted; 0 where it is not tested."""
        if self.spec.calibrate is None:
            return self.spec.min_target or 0.0
        real = held_out(self.bench, self.spec.type)
        own = [
            0.0 if share is None else float(share[self.bench.source.classes.index(candidate.request.label)])
            for candidate, share in zip(real, self.shares(real), strict=True)
        ]
        return reached(own, self.spec.calibrate) - SLACK

    def shares(self, candidates: Sequence[Candidate]) -> list[NDArray[np.float64] | None]:
        """The judge's probabilities (classes,) of each image, or of the object in it; None where there is no object."""
        images = [c.image for c in candidates]
        if self.spec.view == "image":
            return list(probabilities(self.bench.judge.scores(images)))
        found = self.bench.find(images, self.bench.superclass)
        alone = [image if mask is None else isolated(image, mask) for image, mask in zip(images, found, strict=True)]
        seen = probabilities(self.bench.object_judge.scores(alone))
        return [None if mask is None else share for mask, share in zip(found, seen, strict=True)]

    def judge(self, candidates: Sequence[Candidate], kept: Sequence[Candidate]) -> list[Verdict]:
        return [
            Verdict(reason=f"no {self.bench.superclass} found") if share is None else self.one(candidate, share)
            for candidate, share in zip(candidates, self.shares(candidates), strict=True)
        ]

    def one(self, candidate: Candidate, share: NDArray[np.float64]) -> Verdict:
        classes = self.bench.source.classes
        label, source = candidate.request.label, candidate.request.source
        scores = {"target": float(share[classes.index(label)])}
        if source is not None and source.label != label:
            scores["origin"] = float(share[classes.index(source.label)])
            if scores["origin"] >= self.max_origin[source.label]:
                return Verdict(scores, f"still looks like a {source.label}")
        if scores["target"] < self.min_target:
            return Verdict(scores, f"does not look like a {label}")
        return Verdict(scores)
