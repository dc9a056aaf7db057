"""Images that repeat a real one, or one another: by perceptual hash (pHash, 64 bits), then by embedding where asked for.

A repainted region is compared with the same region of its source. An image that is new as a whole is compared with every
training image of its class: what was learned by heart may be any of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import imagehash
import numpy as np
import PIL.Image
from numpy.typing import NDArray

from pipelines.calibration import each, exceeded, held_out, kept_below
from pipelines.filters.quality import crop
from pipelines.records import Candidate, Image, Verdict
from pipelines.spec import NearDuplicateFilter
from pipelines.vision.features import Clip
from pipelines.workbench import Workbench


@dataclass(frozen=True, slots=True)
class Prints:
    """What pictures are compared by."""

    bits: NDArray[np.bool_]  # (n, 64)
    features: NDArray[np.float32]  # (n, width), unit vectors; (n, 0) where embeddings are not compared

    def __getitem__(self, rows: Sequence[int] | slice) -> "Prints":
        return Prints(self.bits[rows], self.features[rows])

    def nearest(self, others: "Prints") -> tuple[float, float]:
        """Of the first picture to any of the others: bits of distance, and cosine of the embeddings."""
        apart = np.count_nonzero(others.bits != self.bits[:1], axis=1)
        alike = others.features @ self.features[0]
        return float(apart.min()), float(alike.max())


class NearDuplicate:
    """Compares with real images and with what the shard has kept so far."""

    def __init__(self, bench: Workbench, spec: NearDuplicateFilter) -> None:
        self.bench, self.spec = bench, spec
        self.known: dict[str, Prints] = {}  # of each class's training images

    @cached_property
    def clip(self) -> Clip:
        return Clip(self.bench.spec.models.clip, self.bench.spec.models.device)

    @cached_property
    def limits(self) -> tuple[float, float]:
        """Distance in bits up to which, and cosine from which on, two images are the same."""
        similarity = float("inf") if self.spec.similarity is None else self.spec.similarity
        if self.spec.calibrate is None:
            return self.spec.distance, similarity
        real = held_out(self.bench, self.spec.type)
        prints = self.prints([candidate.image for candidate in real])
        near = [prints[[n]].nearest(self.real(candidate.request.label)) for n, candidate in enumerate(real)]
        share = each(self.spec.calibrate, 1 if self.spec.similarity is None else 2)
        distance = exceeded([bits for bits, _ in near], share)
        if self.spec.similarity is not None:
            similarity = float(np.nextafter(kept_below([cosine for _, cosine in near], share), np.inf))
        return distance, similarity

    def prints(self, parts: Sequence[Image]) -> Prints:
        bits = [imagehash.phash(PIL.Image.fromarray(part)).hash.reshape(-1) for part in parts]
        compared = self.spec.similarity is not None and len(parts) > 0
        features = self.clip.images(parts).numpy() if compared else np.zeros((len(parts), 0), np.float32)
        return Prints(np.array(bits, np.bool_).reshape(-1, 64), features)

    def real(self, label: str) -> Prints:
        if label not in self.known:
            self.known[label] = self.prints(self.bench.images(self.bench.source.of(label)))
        return self.known[label]

    def judge(self, candidates: Sequence[Candidate], kept: Sequence[Candidate]) -> list[Verdict]:
        every = [*kept, *candidates]
        prints = self.prints([crop(c.image, c.request.mask) for c in every])
        passed = list(range(len(kept)))
        verdicts = []
        for row, candidate in enumerate(candidates, start=len(kept)):
            verdict = self.one(candidate, prints[[row]], prints[passed])
            verdicts.append(verdict)
            if verdict.kept:
                passed.append(row)
        return verdicts

    def one(self, candidate: Candidate, mine: Prints, others: Prints) -> Verdict:
        request, scores = candidate.request, dict[str, float]()
        galleries: dict[str, tuple[str, Prints]] = {}
        if request.image is not None:
            galleries["to_source"] = "repeats its source", self.prints([crop(request.image, request.mask)])
        if request.mask is None or request.mask.all():
            galleries["to_real"] = "repeats a real image", self.real(request.label)
        galleries["to_others"] = "repeats another image", others
        for name, (reason, gallery) in galleries.items():
            if not len(gallery.bits):
                continue
            distance, cosine = mine.nearest(gallery)
            scores[name] = distance
            if self.spec.similarity is not None:
                scores[f"{name}_cosine"] = cosine
            if distance <= self.limits[0] or cosine >= self.limits[1]:
                return Verdict(scores, reason)
        return Verdict(scores)
