"""The probe of the quality report as a filter: what it tells from real images of its class most surely is dropped.

Logistic regression learns to tell a shard's first attempt from real training images, within their class, and judges each
image out of fold: none by what has learned from it. Shards are judged apart, as by the threshold of `clip_score.top`.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipelines.chance import derive
from pipelines.learning.resources import Resources
from pipelines.records import Candidate, Image, Item, Sample, Verdict
from pipelines.spec import ProbeFilter
from pipelines.training.out_of_fold import Judge, train
from pipelines.vision.pixel_statistics import statistics

FEWEST = 10  # candidates of a class at the first attempt, below which there is no telling
Vectors = NDArray[np.float32]


class Probe:
    def __init__(self, resources: Resources, spec: ProbeFilter) -> None:
        self.resources, self.spec = resources, spec
        self.real: dict[str, Vectors] = {}  # by class

    def learn(self, labels: Collection[str]) -> None:
        """Take the features of these classes' real images."""
        for label in labels:
            self.real_features(label)

    def real_features(self, label: str) -> Vectors:
        """Of real training images of a class, drawn by the version's seed; they are stored."""
        if label not in self.real:
            view, resources = self.resources.view, self.resources
            items = sorted(resources.source.of(label), key=lambda item: derive(resources.spec.seed, "probe", item.id))

            def compute(batch: Sequence[Item]) -> Vectors:
                return self.features(view.images(batch))

            rows = items[: self.spec.images]
            self.real[label] = view.features(f"probe/{label}", "probe", self.facts, rows, compute).astype(np.float32)
        return self.real[label]

    def facts(self) -> dict[str, object]:
        """What features depend on."""
        return {"clip": self.resources.models.clip_revision}

    def features(self, images: Sequence[Image]) -> Vectors:
        """Embedding and statistics of each image: float32 (n, width)."""
        embeddings = self.resources.models.clip.embed_images(images).numpy()
        pixels = [statistics(image) for image in images]
        return np.concatenate([embeddings, np.stack(pixels)], axis=1).astype(np.float32)

    def judge(self, candidates: Sequence[Candidate]) -> list[Verdict]:
        """All are kept: they are judged together, by the comparison."""
        return [Verdict() for _ in candidates]

    def comparison(self) -> "Detectable":
        return Detectable(self)


@dataclass
class Detectable:
    """The most detectable of each class, by a probe that learns from the first attempt of a shard that has enough of any."""

    filter: Probe
    probe: Judge | None = None
    thresholds: dict[str, float] = field(default_factory=dict)  # by class: the largest score that is kept

    def judge(self, attempt: Sequence[Sample]) -> list[Verdict]:
        if not attempt:
            return []
        labels = [sample.candidate.request.label for sample in attempt]
        features = self.filter.features([self.filter.resources.view.whole(sample.candidate).image for sample in attempt])
        scores = self.learn(features, labels) if self.probe is None else detectability(self.probe.of_others(features))
        return [
            Verdict() if label not in self.thresholds else self.one(float(score), label)
            for score, label in zip(scores, labels, strict=True)
        ]

    def one(self, score: float, label: str) -> Verdict:
        dropped = score > self.thresholds[label]
        return Verdict({"detectability": score}, f"too easily told from a real {label}" if dropped else None)

    def learn(self, features: Vectors, labels: Sequence[str]) -> NDArray[np.float64]:
        """Train the probe on the classes of which there are enough; the scores of all images, of others 0."""
        scores, every = np.zeros(len(labels)), np.array(labels)
        known = [label for label in dict.fromkeys(labels) if (every == label).sum() >= FEWEST]
        if not known:
            return scores
        chosen = np.flatnonzero(np.isin(every, known))
        real = {label: self.filter.real_features(label) for label in known}
        x = np.concatenate([*real.values(), features[chosen]])
        targets = np.arange(len(x)) >= len(x) - len(chosen)
        kinds = np.array([label for label, rows in real.items() for _ in rows] + every[chosen].tolist())
        weights = np.zeros(len(x))
        for label in known:  # within a class both weigh the same
            parts = [np.flatnonzero((kinds == label) & (targets == generated)) for generated in (False, True)]
            for rows in parts:
                weights[rows] = min(map(len, parts)) / len(rows)
        seed = derive(self.filter.resources.spec.seed, "probe") % 2**31
        self.probe = train(x, targets.astype(np.int64), 2, seed, weights)
        scores[chosen] = detectability(self.probe.out_of_fold(x)[targets])
        for label in known:
            self.thresholds[label] = float(np.quantile(scores[every == label], 1 - self.filter.spec.drop))
        return scores


def detectability(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """The log-odds of being generated, of log-probabilities (n, 2)."""
    return shares[:, 1] - shares[:, 0]
