"""Blank, blurred and saturated images, by plain statistics of the repainted region."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import laplace

from pipelines.records import Candidate, Mask, Verdict
from pipelines.spec import QualityFilter
from pipelines.workbench import Workbench


def crop(pixels: NDArray[np.generic], mask: Mask | None) -> NDArray[np.generic]:
    """The part of a picture inside the mask's bounding box."""
    if mask is None:
        return pixels
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


class Quality:
    def __init__(self, _bench: Workbench, spec: QualityFilter) -> None:
        self.spec = spec

    def judge(self, candidates: Sequence[Candidate], kept: Sequence[Candidate]) -> list[Verdict]:
        return [self.one(candidate) for candidate in candidates]

    def one(self, candidate: Candidate) -> Verdict:
        part = crop(candidate.image, candidate.request.mask)
        grey = part.mean(axis=2) / 255
        scores = {
            "contrast": float(grey.std()),
            "sharpness": float(laplace(grey).var()),
            "saturated": float(((part == 0) | (part == 255)).all(axis=2).mean()),
        }
        if scores["contrast"] < self.spec.min_contrast:
            return Verdict(scores, "blank")
        if scores["sharpness"] < self.spec.min_sharpness:
            return Verdict(scores, "blurred")
        if scores["saturated"] > self.spec.max_saturated:
            return Verdict(scores, "saturated")
        return Verdict(scores)
