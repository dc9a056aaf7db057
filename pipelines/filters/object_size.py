"""Object size: painted objects that are too small for a detector, or cut by the border of the image.

Gen2Det (arXiv 2312.04566) filters generated images as a whole and then each object; what it drops there are objects that a
detector does not find. Here the region is known, so that its extent is measured and no detector is needed; whether an object
is what it should be is judged by `label_agreement` with `view: object`.
"""

from collections.abc import Sequence

from pipelines.learning.resources import Resources
from pipelines.records import Candidate, Mask, Verdict
from pipelines.spec import ObjectSizeFilter
from pipelines.vision.object_masks import object_mask


def touches_border(mask: Mask) -> bool:
    return bool(mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())


class ObjectSize:
    def __init__(self, resources: Resources, spec: ObjectSizeFilter) -> None:
        self.resources, self.spec = resources, spec

    def mask(self, candidate: Candidate) -> Mask | None:
        """That of the object in the image as it will be stored; None where it is not known."""
        view = self.resources.view
        return object_mask(view.object_region(candidate, view.finished(candidate)), self.resources.spec.method)

    def judge(self, candidates: Sequence[Candidate]) -> list[Verdict]:
        return [self.one(self.mask(candidate)) for candidate in candidates]

    def one(self, mask: Mask | None) -> Verdict:
        if mask is None:
            return Verdict()
        scores = {"share": float(mask.mean())}
        if scores["share"] < self.spec.min_share:
            return Verdict(scores, "too small")
        return Verdict(scores, "cut by the border" if self.spec.whole and touches_border(mask) else None)
