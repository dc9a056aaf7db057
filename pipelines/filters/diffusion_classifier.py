"""Diffusion Classifier as a filter (Li et al., ICCV 2023, arXiv 2303.16203): the text-to-image model must take an image for
its label, by its name or learned token, rather than for another class.

It needs no other model, and as many forwards of the denoiser as an image takes to be drawn, or more.
"""

from collections.abc import Collection, Sequence
from functools import cached_property

from pipelines.backbones.loading import taken_apart
from pipelines.filters.calibration import SLACK, calibrated, lower_threshold, validation_candidates
from pipelines.learning.resources import Resources
from pipelines.learning.tokens import Tokens
from pipelines.prompts import TEMPLATES, fill
from pipelines.records import Candidate, Verdict
from pipelines.spec import DiffusionClassifierFilter
from pipelines.tensors import tensor
from pipelines.vision.diffusion_classifier import DiffusionClassifier


class DenoisingError:
    def __init__(self, resources: Resources, spec: DiffusionClassifierFilter) -> None:
        self.resources, self.spec = resources, spec

    def learn(self, labels: Collection[str]) -> None:
        """Encode the prompts, calibrate the threshold. Raises ModelError for a checkpoint that is run whole."""
        self.classifier  # noqa: B018  (opened on first use)
        self.least  # noqa: B018

    @cached_property
    def tokens(self) -> Tokens:
        method = self.resources.spec.method
        return Tokens(self.resources, method.superclass, method.inversion)

    @property
    def prompts(self) -> list[str]:
        """One a class."""
        return [fill(TEMPLATES[0], self.tokens.phrase(label)) for label in self.resources.source.classes]

    @cached_property
    def classifier(self) -> DiffusionClassifier:
        backbone = taken_apart(self.resources.models.text_to_image)
        return DiffusionClassifier(backbone, self.prompts, self.spec.samples, self.spec.keep, self.resources.spec.seed)

    @cached_property
    def least(self) -> float:
        """The least margin."""
        if self.spec.calibrate is None:
            return self.spec.min_margin
        share = self.spec.calibrate

        def compute() -> float:
            return lower_threshold(self.margins(validation_candidates(self.resources, self.spec.type)), share) - SLACK

        return float(calibrated(self.resources, self.spec, "least", ["validation"], self.facts, compute))

    def facts(self) -> dict[str, object]:
        """What the margins depend on."""
        keys = [key for label in self.resources.source.classes if (key := self.tokens.key(label))]
        model = {"model": self.resources.models.revision, "seed": self.resources.spec.seed}
        return {**model, "prompts": self.prompts, "concepts": keys}

    def margins(self, candidates: Sequence[Candidate]) -> list[float]:
        """That of each image's label over the other classes."""
        if not candidates:
            return []
        own = [self.resources.source.classes.index(candidate.request.label) for candidate in candidates]
        return self.classifier.margins(tensor([self.resources.view.at_resolution(c) for c in candidates]), own)

    def judge(self, candidates: Sequence[Candidate]) -> list[Verdict]:
        return [
            Verdict({"margin": margin}, None if margin > self.least else f"is not denoised best as a {c.request.label}")
            for c, margin in zip(candidates, self.margins(candidates), strict=True)
        ]
