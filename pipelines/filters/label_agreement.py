"""The prediction head of DDB (arXiv 2503.17226): the judge must no longer predict the class that was painted over.

Source and target have thresholds of their own; the paper's figure and code each use one index for both.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from pipelines.filters.calibration import SLACK, calibrated, lower_threshold, validation_candidates
from pipelines.learning.judges import JudgeTraining, View
from pipelines.learning.resources import Resources
from pipelines.learning.subpopulations import Subpopulations
from pipelines.records import Candidate, Verdict
from pipelines.regions import isolate
from pipelines.spec import LabelAgreementFilter, SpuriousRemoval
from pipelines.vision.classifier import Classifier, probabilities
from pipelines.vision.object_masks import word_of

TYPICAL = 300  # images a class over which the default threshold is averaged


class LabelAgreement:
    def __init__(self, resources: Resources, spec: LabelAgreementFilter) -> None:
        self.resources, self.spec = resources, spec

    def learn(self, labels: Collection[str]) -> None:
        """Train the judge, and have it rank or judge the real images that thresholds come from."""
        self.classifier  # noqa: B018  (trained on use)
        self.min_target  # noqa: B018
        if isinstance(self.resources.spec.method, SpuriousRemoval):  # no other paints over a class
            self.max_origin  # noqa: B018

    @property
    def classifier(self) -> Classifier:
        """The judge of what the spec says."""
        if self.spec.view == "balanced":
            return self.balanced_judge
        return self.resources.judge if self.spec.view == "image" else self.resources.object_judge

    @property
    def balanced_training(self) -> JudgeTraining:
        """Of a judge to which every subpopulation of a class counts as much."""
        return replace(self.resources.judge_training, weights=self.subpopulations.weights)

    @cached_property
    def subpopulations(self) -> Subpopulations:
        return Subpopulations(self.resources)

    @cached_property
    def balanced_judge(self) -> Classifier:
        resources = self.resources
        return self.balanced_training.train({"balanced": None}, resources.artifacts, resources.progress)["balanced"]

    @cached_property
    def max_origin(self) -> dict[str, float]:
        """The largest allowed probability of each painted-over class."""
        classes = self.resources.source.classes
        if self.spec.max_origin is not None:
            return dict.fromkeys(classes, self.spec.max_origin)

        def compute() -> list[float]:
            return [float(np.mean([p for _, p in self.resources.ranking[label][:TYPICAL]])) for label in classes]

        means = calibrated(self.resources, self.spec, "max_origin", [], lambda: self.facts("image"), compute)
        return dict(zip(classes, means.tolist(), strict=True))

    @cached_property
    def min_target(self) -> float:
        """The least probability of the class that was painted; 0 where it is not tested."""
        if self.spec.calibrate is None:
            return self.spec.min_target or 0.0
        share = self.spec.calibrate

        def compute() -> float:
            real = validation_candidates(self.resources, self.spec.type)
            own = [
                0.0 if row is None else float(row[self.resources.source.classes.index(candidate.request.label)])
                for candidate, row in zip(real, self.probabilities(real), strict=True)
            ]
            return lower_threshold(own, share) - SLACK

        facts = partial(self.facts, self.spec.view)
        return float(calibrated(self.resources, self.spec, "min_target", ["validation"], facts, compute))

    def facts(self, view: View) -> dict[str, object]:
        """What the probabilities depend on: the judge, whose images are known of it."""
        if view == "balanced":
            judge, *_ = self.balanced_training.prepare(view, None, self.resources.artifacts)
        else:
            judge = self.resources.judge_artifact(view)
        return {"judge": judge.digest, "concepts": [judge.key(judge.last)]}

    def probabilities(self, candidates: Sequence[Candidate]) -> list[NDArray[np.float64] | None]:
        """The judge's probabilities (classes,) of each image, or of the object in it; None where no object is detected."""
        if self.spec.view != "object":
            overviews = [self.resources.view.whole(c).image for c in candidates]
            return list(probabilities(self.classifier.scores(overviews)))
        images = [self.resources.view.at_resolution(c) for c in candidates]
        masks = self.resources.view.segment_each(images, [self.word(candidate) for candidate in candidates])
        objects = [image if mask is None else isolate(image, mask) for image, mask in zip(images, masks, strict=True)]
        predicted = probabilities(self.resources.object_judge.scores(objects))
        return [None if mask is None else row for mask, row in zip(masks, predicted, strict=True)]

    def word(self, candidate: Candidate) -> str:
        """What the object in it is called."""
        return word_of(self.resources.superclass, candidate.request.label)

    def judge(self, candidates: Sequence[Candidate]) -> list[Verdict]:
        return [
            Verdict({"target": 0.0}, f"no {self.word(candidate)} found") if share is None else self.one(candidate, share)
            for candidate, share in zip(candidates, self.probabilities(candidates), strict=True)
        ]

    def one(self, candidate: Candidate, share: NDArray[np.float64]) -> Verdict:
        classes = self.resources.source.classes
        label, source = candidate.request.label, candidate.request.source
        scores = {"target": float(share[classes.index(label)])}
        if source is not None and source.label != label:
            scores["origin"] = float(share[classes.index(source.label)])
            if scores["origin"] >= self.max_origin[source.label]:
                return Verdict(scores, f"still looks like a {source.label}")
        if scores["target"] < self.min_target:
            return Verdict(scores, f"does not look like a {label}")
        return Verdict(scores)
