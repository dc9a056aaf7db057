"""CLIP score: zero-shot classification as the label rather than another class (He et al., ICLR 2023, arXiv 2210.07574).

A class is embedded by its name; or, for a name unknown to CLIP, by its real images. The `top` share of each class can
be kept alone, too (Geng et al. 2024, arXiv 2406.05184).
"""

from collections.abc import Collection, Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipelines.filters.best import Best
from pipelines.filters.calibration import SLACK, calibrated, lower_threshold, validation_candidates
from pipelines.learning.resources import Resources
from pipelines.records import Candidate, Verdict
from pipelines.spec import ClipScoreFilter
from pipelines.vision.clip import Clip


class ClipScore:
    def __init__(self, resources: Resources, spec: ClipScoreFilter) -> None:
        self.resources, self.spec = resources, spec

    def comparison(self) -> Best:
        return Best("clip_score.own", self.spec.top)

    def learn(self, labels: Collection[str]) -> None:
        """Embed the classes, calibrate the threshold."""
        if self.spec.classes == "images":
            self.classes  # noqa: B018  (computed on first use)
        self.min_share  # noqa: B018

    @cached_property
    def min_share(self) -> float:
        """The probability of the label that a candidate must exceed."""
        if self.spec.calibrate is None:
            return 1 / len(self.resources.source.classes) if self.spec.min_share is None else self.spec.min_share
        share, splits = self.spec.calibrate, ["validation", *(["train"] if self.spec.classes == "images" else [])]

        def compute() -> float:
            return lower_threshold(self.own(validation_candidates(self.resources, self.spec.type)), share) - SLACK

        return float(calibrated(self.resources, self.spec, "min_share", splits, self.facts, compute))

    def facts(self) -> dict[str, object]:
        """What the scores depend on."""
        return {"clip": self.resources.models.clip_revision, "names": self.resources.spec.method.names}

    @property
    def clip(self) -> Clip:
        return self.resources.models.clip

    @cached_property
    def classes(self) -> Tensor:
        """The embedding of each class."""
        source, view = self.resources.source, self.resources.view
        if self.spec.classes == "names":
            names = self.resources.spec.method.names
            return self.clip.embed_words([names.get(label, label) for label in source.classes])

        def compute() -> NDArray[np.float32]:
            return self.clip.prototypes([view.images(source.of(label)) for label in source.classes]).numpy()

        return torch.from_numpy(calibrated(self.resources, self.spec, "prototypes", ["train"], self.facts, compute))

    def judge(self, candidates: Sequence[Candidate]) -> list[Verdict]:
        return [
            Verdict({"own": score}, None if score > self.min_share else f"does not look like a {candidate.request.label}")
            for candidate, score in zip(candidates, self.own(candidates), strict=True)
        ]

    def own(self, candidates: Sequence[Candidate]) -> list[float]:
        """The probability of each candidate's label."""
        embeddings = self.clip.embed_images([candidate.image for candidate in candidates])
        columns = [self.resources.source.classes.index(candidate.request.label) for candidate in candidates]
        probabilities = self.clip.probabilities(embeddings, self.classes)
        return [float(row[column]) for row, column in zip(probabilities, columns, strict=True)]
