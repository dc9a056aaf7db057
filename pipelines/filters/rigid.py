"""RIGID (He et al., arXiv 2405.20112): a little noise moves the embedding of a real image less than a generated one's.

Nothing is trained. The paper's embeddings are DINOv2's; these are CLIP's. How near both are, the image's with noise and
without, is a score, and drops an image only where a threshold is given or calibrated on real images.
"""

from collections.abc import Collection, Sequence
from functools import cached_property

import numpy as np
import PIL.Image

from pipelines.chance import derive
from pipelines.filters.calibration import SLACK, calibrated, lower_threshold, validation_candidates
from pipelines.learning.resources import Resources
from pipelines.records import Candidate, Image, Verdict
from pipelines.spec import RigidFilter


def noised(image: Image, noise: float, seed: int) -> Image:
    """An image with Gaussian noise, whose standard deviation is that share of the pixels' range."""
    grain = np.random.default_rng(derive(seed, "rigid")).normal(0, 255 * noise, image.shape)
    return np.clip(np.round(image + grain), 0, 255).astype(np.uint8)


class Rigid:
    def __init__(self, resources: Resources, spec: RigidFilter) -> None:
        self.resources, self.spec = resources, spec

    def learn(self, labels: Collection[str]) -> None:
        """Calibrate the threshold."""
        self.least  # noqa: B018  (computed on first use)

    @cached_property
    def least(self) -> float:
        """The least similarity; -1, which all have, where there is no threshold."""
        if self.spec.calibrate is None:
            return -1.0 if self.spec.min_similarity is None else self.spec.min_similarity
        share = self.spec.calibrate

        def compute() -> float:
            return lower_threshold(self.similarities(validation_candidates(self.resources, self.spec.type)), share) - SLACK

        return float(calibrated(self.resources, self.spec, "least", ["validation"], self.facts, compute))

    def facts(self) -> dict[str, object]:
        """What the similarities depend on."""
        return {"clip": self.resources.models.clip_revision}

    def similarities(self, candidates: Sequence[Candidate]) -> list[float]:
        """Cosine similarity of each image's embeddings, with noise and without; at the size that CLIP sees, lest scaling
        takes the noise away."""
        clip = self.resources.models.clip
        size = (clip.side, clip.side)
        images = [np.asarray(PIL.Image.fromarray(c.image).resize(size, PIL.Image.Resampling.BICUBIC)) for c in candidates]
        noisy = [noised(image, self.spec.noise, c.request.seed) for image, c in zip(images, candidates, strict=True)]
        cosines = (clip.embed_images(images) * clip.embed_images(noisy)).sum(dim=1)
        return [float(cosine) for cosine in cosines]

    def judge(self, candidates: Sequence[Candidate]) -> list[Verdict]:
        return [
            Verdict({"similarity": value}, "noise changes it more than real images" if value < self.least else None)
            for value in self.similarities(candidates)
        ]
