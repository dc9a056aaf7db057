"""Near duplicates of a real image, or of another candidate: by perceptual hash (pHash, 64 bits) and by CLIP embedding.

A repainted region is compared with the same region of its source. An image that is new as a whole is compared with every
training image of its class, any of which may have been memorised. Other candidates are compared with those of their shard as
they are generated, and with those of other shards once all are done (`pipelines/version/duplicates.py`).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import imagehash
import numpy as np
import PIL.Image
from numpy.typing import NDArray

from pipelines.filters.calibration import (
    calibrated,
    exclusive_lower_threshold,
    share_of_each,
    upper_threshold,
    validation_candidates,
)
from pipelines.filters.fingerprints import StoredFingerprints, packed
from pipelines.learning.resources import Resources
from pipelines.progress import step
from pipelines.records import Candidate, Image, Item, Sample, Verdict
from pipelines.regions import crop
from pipelines.spec import NearDuplicateFilter

REPEATS_ANOTHER = "repeats another image"


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """Hashes and embeddings that images are compared by."""

    bits: NDArray[np.bool_]  # (n, 64)
    embeddings: NDArray[np.float32]  # (n, width), unit vectors; (n, 0) where embeddings are not compared

    def __getitem__(self, rows: Sequence[int] | slice) -> "Fingerprints":
        return Fingerprints(self.bits[rows], self.embeddings[rows])

    def followed_by(self, others: "Fingerprints") -> "Fingerprints":
        if not len(self.bits) or not len(others.bits):  # whose embeddings have no width
            return self if len(self.bits) else others
        return Fingerprints(np.concatenate([self.bits, others.bits]), np.concatenate([self.embeddings, others.embeddings]))

    def nearest(self, others: "Fingerprints") -> tuple[float, float]:
        """Least Hamming distance, in bits, and largest cosine similarity of the first image to the others."""
        distances = np.count_nonzero(others.bits != self.bits[:1], axis=1)
        cosines = others.embeddings @ self.embeddings[0]
        return float(distances.min()), float(cosines.max())


class NearDuplicate:
    """Compares with real images, and in its comparison with the candidates that the shard has kept so far."""

    def __init__(self, resources: Resources, spec: NearDuplicateFilter) -> None:
        self.resources, self.spec = resources, spec
        self.galleries: dict[str, Fingerprints] = {}  # of each class's training images

    def learn(self, labels: Collection[str]) -> None:
        """Calibrate the limits; take the fingerprints of these classes' real images, where candidates are compared with
        all of them."""
        self.limits  # noqa: B018  (computed on first use)
        if not self.resources.spec.method.repaints_a_part:
            for label in labels:
                self.real(label)

    @cached_property
    def limits(self) -> tuple[float, float]:
        """Largest Hamming distance, in bits, and least cosine similarity of a duplicate."""
        if self.spec.calibrate is None:
            return self.spec.distance, float("inf") if self.spec.similarity is None else self.spec.similarity
        share = share_of_each(self.spec.calibrate, 1 if self.spec.similarity is None else 2)
        splits = ["train", "validation"]
        values = calibrated(
            self.resources, self.spec, "limits", splits, self.facts, lambda: self.limits_of_real_images(share)
        )
        distance, similarity = values.tolist()
        return distance, similarity

    def limits_of_real_images(self, share: float) -> list[float]:
        """The limits, each of which a share of the validation images passes."""
        real = validation_candidates(self.resources, self.spec.type)
        prints = self.fingerprints([candidate.image for candidate in real])
        near = [prints[[n]].nearest(self.real(candidate.request.label)) for n, candidate in enumerate(real)]
        similarity = float("inf")
        if self.spec.similarity is not None:
            similarity = float(np.nextafter(upper_threshold([cosine for _, cosine in near], share), np.inf))
        return [exclusive_lower_threshold([bits for bits, _ in near], share), similarity]

    def facts(self) -> dict[str, object]:
        """What embeddings depend on, where they are compared."""
        return {"clip": None if self.spec.similarity is None else self.resources.models.clip_revision}

    def fingerprints(self, images: Sequence[Image]) -> Fingerprints:
        bits = []
        for image in images:
            step()
            bits.append(imagehash.phash(PIL.Image.fromarray(image)).hash.reshape(-1))
        embeddings = np.zeros((len(images), 0), np.float32)
        if self.spec.similarity is not None and len(images) > 0:
            embeddings = self.resources.models.clip.embed_images(images).numpy()
        return Fingerprints(np.array(bits, np.bool_).reshape(-1, 64), embeddings)

    def real(self, label: str) -> Fingerprints:
        """Of the training images of a class, which are stored."""
        if label not in self.galleries:
            view, items = self.resources.view, self.resources.source.of(label)

            def compute(batch: Sequence[Item]) -> NDArray[np.float32]:
                prints = self.fingerprints(view.images(batch))
                return np.concatenate([prints.bits.astype(np.float32), prints.embeddings], axis=1)

            rows = view.features(f"gallery/{label}", "gallery", self.facts, items, compute)
            self.galleries[label] = Fingerprints(rows[:, :64].astype(np.bool_), rows[:, 64:])
        return self.galleries[label]

    def judge(self, candidates: Sequence[Candidate]) -> list[Verdict]:
        prints = self.prints_of(candidates)
        return [self.one(candidate, prints[[row]]) for row, candidate in enumerate(candidates)]

    def prints_of(self, candidates: Sequence[Candidate]) -> Fingerprints:
        """Of the regions that were repainted."""
        return self.fingerprints([crop(candidate.image, candidate.request.mask) for candidate in candidates])

    def one(self, candidate: Candidate, fingerprint: Fingerprints) -> Verdict:
        request, scores = candidate.request, dict[str, float]()
        galleries: dict[str, tuple[str, Fingerprints]] = {}
        if request.image is not None:
            galleries["to_source"] = "repeats its source", self.fingerprints([crop(request.image, request.mask)])
        if request.mask is None or request.mask.all():
            galleries["to_real"] = "repeats a real image", self.real(request.label)
        for name, (reason, gallery) in galleries.items():
            if self.repeats(fingerprint, gallery, name, scores):
                return Verdict(scores, reason)
        return Verdict(scores)

    def repeats(self, fingerprint: Fingerprints, gallery: Fingerprints, name: str, scores: dict[str, float]) -> bool:
        """Whether an image repeats one of a gallery; how near it is becomes the score of this name."""
        if not len(gallery.bits):
            return False
        distance, cosine = fingerprint.nearest(gallery)
        scores[name] = distance
        if self.spec.similarity is not None:
            scores[f"{name}_cosine"] = cosine
        return distance <= self.limits[0] or cosine >= self.limits[1]

    def comparison(self) -> "Others":
        return Others(self)


class Others:
    """Compares the candidates of a shard with those before them that it has kept."""

    def __init__(self, filter_: NearDuplicate) -> None:
        self.filter, self.kept = filter_, filter_.fingerprints([])
        self.indices: list[int] = []  # of the images in `kept`

    def judge(self, attempt: Sequence[Sample]) -> list[Verdict]:
        passed, verdicts = list(range(len(self.kept.bits))), list[Verdict]()
        indices = self.indices + [sample.candidate.request.index for sample in attempt]
        every = self.kept.followed_by(self.filter.prints_of([sample.candidate for sample in attempt]))
        for row in range(len(passed), len(every.bits)):
            scores = dict[str, float]()
            repeats = self.filter.repeats(every[[row]], every[passed], "to_others", scores)
            verdicts.append(Verdict(scores, REPEATS_ANOTHER if repeats else None))
            if not repeats:
                passed.append(row)
        self.kept, self.indices = every[passed], [indices[row] for row in passed]
        return verdicts

    def fingerprints(self, indices: Collection[int]) -> bytes:
        """Of the images of these indices that it has kept: of each, the latest attempt, since another filter may have
        dropped those before it."""
        rows = {index: row for row, index in enumerate(self.indices) if index in indices}
        order = sorted(rows)
        chosen = self.kept[[rows[index] for index in order]]
        limits = np.array(self.filter.limits, np.float64)
        embeddings = chosen.embeddings.astype(np.float16)
        return StoredFingerprints(np.array(order, np.int64), packed(chosen.bits), embeddings, limits).encode()
