"""The attribution head of DDB (arXiv 2503.17226): the evidence for the painted class must lie in the repainted region.

A classifier that reads the background may call a boot on brick a sneaker, however well it is painted. What is measured is
how far the change inside the region moved the class's logit: by integrated gradients, or by Grad-CAM or SmoothGrad.
"""

from collections.abc import Collection, Sequence

import torch

from pipelines.learning.resources import Resources
from pipelines.records import Candidate, Verdict
from pipelines.spec import AttributionFilter
from pipelines.vision.attribution import attribution, feature_layer


class Attribution:
    def __init__(self, resources: Resources, spec: AttributionFilter) -> None:
        self.resources, self.spec = resources, spec

    def learn(self, labels: Collection[str]) -> None:
        """Train the judge. Raises ModelError where Grad-CAM finds no feature map in it."""
        judge, side = self.resources.judge, self.resources.view.side
        if self.spec.saliency == "grad_cam":
            feature_layer(judge, torch.zeros(1, 3, side, side, device=next(judge.parameters()).device))

    def judge(self, candidates: Sequence[Candidate]) -> list[Verdict]:
        """Images repainted as their own class, or without a source image, have no change of class to attribute: kept."""
        repainted = [c for c in candidates if c.request.source is not None and c.request.source.label != c.request.label]
        changed = [self.resources.view.whole(c) for c in repainted]
        rho = attribution(
            self.resources.judge,
            [c.request.image for c in changed if c.request.image is not None],
            [c.image for c in changed],
            [c.request.mask for c in changed if c.request.mask is not None],
            [c.request.label for c in changed],
            self.spec.steps,
            saliency=self.spec.saliency,
            seeds=[c.request.seed for c in changed],
        )
        score = {id(c): float(value) for c, value in zip(repainted, rho, strict=True)}
        return [self.one(score.get(id(c))) for c in candidates]

    def one(self, rho: float | None) -> Verdict:
        if rho is None:
            return Verdict()
        scores = {"target": rho}
        return Verdict(scores, None if rho > self.spec.min_logits else "the painted region does not speak for its class")
