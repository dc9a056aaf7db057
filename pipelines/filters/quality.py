"""Quality: blank, blurred and saturated images, and visible seams, by plain statistics of the repainted region."""

from collections.abc import Collection, Sequence
from functools import cached_property

import numpy as np
import PIL.Image
from scipy.ndimage import binary_erosion, laplace

from pipelines.filters.calibration import (
    calibrated,
    lower_threshold,
    share_of_each,
    upper_threshold,
    validation_candidates,
)
from pipelines.learning.resources import Resources
from pipelines.records import Candidate, Image, Mask, Verdict
from pipelines.regions import crop
from pipelines.spec import QualityFilter

EDGE = 1 / 16  # of the image's side: how wide the edge of a region is
SIDE = 64  # pixels: images are measured at this scale, so that thresholds mean the same at every resolution


def seam(candidate: Candidate) -> float:
    """Change of mean colour, 0..1, from the source to the candidate along the inner edge of the region.

    The border of the image is no edge of the region: there is nothing to fit.
    """
    source, mask, repainted = candidate.request.image, candidate.request.mask, candidate.request.inpaint_mask
    if source is None or mask is None or repainted is None:
        return 0.0
    edge = repainted & ~binary_erosion(mask, iterations=max(1, round(EDGE * len(mask))), border_value=1)
    if not edge.any():
        return 0.0
    before, after = (pixels[edge].mean(axis=0) / 255 for pixels in (source, candidate.image))
    return float(np.abs(after - before).mean())


def reduced(part: Image, side: int) -> Image:
    """A part of an image whose shorter side is `side`, at the scale at which that is SIDE; a smaller one as it is."""
    if side <= SIDE:
        return part
    size = [max(1, round(length * SIDE / side)) for length in (part.shape[1], part.shape[0])]
    return np.asarray(PIL.Image.fromarray(part).resize((size[0], size[1]), PIL.Image.Resampling.BOX))


def statistics(image: Image, mask: Mask | None) -> dict[str, float]:
    """Of the part of an image inside the mask's bounding box."""
    part = reduced(crop(image, mask), min(image.shape[:2]))
    grey = part.mean(axis=2) / 255
    return {
        "contrast": float(grey.std()),
        "sharpness": float(laplace(grey).var()),
        "saturated": float(((part == 0) | (part == 255)).all(axis=2).mean()),
    }


class Quality:
    def __init__(self, resources: Resources, spec: QualityFilter) -> None:
        self.resources, self.spec = resources, spec

    def learn(self, labels: Collection[str]) -> None:
        """Calibrate the limits."""
        self.limits  # noqa: B018  (computed on first use)

    @cached_property
    def limits(self) -> tuple[float, float, float]:
        """Least contrast, least sharpness, largest share of saturated pixels."""
        if self.spec.calibrate is None:
            return self.spec.min_contrast, self.spec.min_sharpness, self.spec.max_saturated
        share = share_of_each(self.spec.calibrate, 3)
        values = calibrated(
            self.resources, self.spec, "limits", ["validation"], dict, lambda: self.limits_of_real_images(share)
        )
        contrast, sharpness, saturated = values.tolist()
        return contrast, sharpness, saturated

    def limits_of_real_images(self, share: float) -> list[float]:
        """The limits, each of which a share of the validation images passes."""
        measured = [statistics(candidate.image, None) for candidate in validation_candidates(self.resources, self.spec.type)]
        minima = [lower_threshold([one[name] for one in measured], share) for name in ("contrast", "sharpness")]
        return [*minima, upper_threshold([one["saturated"] for one in measured], share)]

    def judge(self, candidates: Sequence[Candidate]) -> list[Verdict]:
        return [self.one(candidate) for candidate in candidates]

    def one(self, candidate: Candidate) -> Verdict:
        scores = statistics(candidate.image, candidate.request.mask)
        contrast, sharpness, saturated = self.limits
        if candidate.request.mask is not None:
            scores["seam"] = seam(candidate)
            if scores["seam"] > self.spec.max_seam:
                return Verdict(scores, "does not fit its surroundings")
        if scores["contrast"] < contrast:
            return Verdict(scores, "blank")
        if scores["sharpness"] < sharpness:
            return Verdict(scores, "blurred")
        if scores["saturated"] > saturated:
            return Verdict(scores, "saturated")
        return Verdict(scores)
