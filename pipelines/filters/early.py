"""Early verdicts: what the filters will drop is ended on its way, by their own scores of the image as it is predicted there.

CFG-Rejection (arXiv 2505.23343) and Probe-Select (arXiv 2603.02829) rank unfinished images by what guidance does in the
first steps, and by a trained head. Here the thresholds are the version's own: its first images are looked at, too, but
denoised to their end, so that the filters say what each early score was worth.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import floor

import numpy as np

from pipelines.filters import Filter, Panel
from pipelines.learning.resources import Resources
from pipelines.records import Candidate, Sample, Verdict
from pipelines.spec import EARLY_SCORES, EarlyVerdict
from pipelines.store import keys
from pipelines.store.canonical import canonical

Scores = Mapping[str, float]  # "filter.score" -> value
SIGNS = {f"{name}.{score}": sign for name, scores in EARLY_SCORES.items() for score, sign in scores.items()}
LEAST = 0.1  # share of all images that each score is to end rightly: less does not pay for looking at it in each of them


@dataclass
class EarlyVerdicts:
    """Those of a version, as a probe of the engine. What is calibrated is stored: of several workers the first decides for
    all that come later, and a shard that is generated again is judged by it from its first image.

    Looks are the denoiser's thread's, beside the judging of finished images: filters change nothing but what they load.
    """

    resources: Resources
    spec: EarlyVerdict
    panel: Panel
    scores: dict[tuple[int, int], Scores] = field(default_factory=dict)  # by index and attempt: of images on their way
    kept: list[Scores] = field(default_factory=list)  # of images that every filter has kept in the end
    dropped: list[Scores] = field(default_factory=list)

    def __post_init__(self) -> None:
        store, key = self.resources.store, keys.early_verdict(self.resources.root)
        self.thresholds: dict[str, float] | None = None  # by score; None: not calibrated yet
        if store.exists(key):
            self.thresholds = store.json(key)["thresholds"]

    @property
    def at(self) -> float | None:
        return None if self.thresholds == {} else self.spec.at

    @property
    def filters(self) -> dict[str, Filter]:
        """Those whose scores are looked at."""
        used = EARLY_SCORES if self.thresholds is None else {name.partition(".")[0] for name in self.thresholds}
        return {name: filter_ for name, filter_ in self.panel.filters.items() if name in used}

    def look(self, candidates: Sequence[Candidate]) -> list[Verdict]:
        scores = self.early_scores(candidates)
        if self.thresholds is not None:
            return [verdict(early, self.thresholds) for early in scores]
        for candidate, early in zip(candidates, scores, strict=True):
            self.scores[candidate.request.index, candidate.request.attempt] = early
        return [Verdict() for _ in candidates]

    def early_scores(self, candidates: Sequence[Candidate]) -> Sequence[Scores]:
        scores: list[dict[str, float]] = [{} for _ in candidates]
        for name, filter_ in self.filters.items():
            for early, judged in zip(scores, filter_.judge(candidates), strict=True):
                early.update({f"{name}.{key}": round(value, 6) for key, value in judged.scores.items()})
        return scores

    def learn(self, samples: Sequence[Sample]) -> None:
        """Note what became of images that were looked at; calibrate the thresholds once there are enough."""
        if self.thresholds is not None:
            return
        for sample in samples:
            early = self.scores.pop((sample.candidate.request.index, sample.candidate.request.attempt), None)
            if early is not None:
                (self.kept if sample.verdict.kept else self.dropped).append(early)
        if len(self.kept) + len(self.dropped) >= self.spec.images:
            thresholds = calibrated(self.kept, self.dropped, self.spec.loss)
            facts = {
                "thresholds": thresholds,
                "kept": {"images": len(self.kept), "ended": ended(self.kept, thresholds)},
                "dropped": {"images": len(self.dropped), "ended": ended(self.dropped, thresholds)},
            }
            store, key = self.resources.store, keys.early_verdict(self.resources.root)
            store.put_first(key, canonical(facts))
            self.thresholds = dict(store.json(key)["thresholds"])


def verdict(scores: Scores, thresholds: Mapping[str, float]) -> Verdict:
    """Of an unfinished image, by its first score that is worse than its threshold."""
    for name, threshold in thresholds.items():
        if worse(scores, name, threshold):
            filter_, _, score = name.partition(".")
            return Verdict({f"early.{name}": scores[name]}, f"{filter_}: early, by its {score}")
    return Verdict()


def worse(scores: Scores, name: str, threshold: float) -> bool:
    """Whether a score is beyond its threshold. One that an image does not have says nothing of it."""
    return name in scores and SIGNS[name] * scores[name] < SIGNS[name] * threshold


def ended(images: Sequence[Scores], thresholds: Mapping[str, float]) -> int:
    """How many of these images the thresholds end."""
    return sum(not verdict(scores, thresholds).kept for scores in images)


def calibrated(kept: Sequence[Scores], dropped: Sequence[Scores], loss: float) -> dict[str, float]:
    """Thresholds that end at most the share `loss` of what is kept, in expectation; none where that ends too little else.

    Of as many scores as pay for being looked at: each may lose its part (Bonferroni).
    """
    best, number, least = dict[str, float](), 0, LEAST * (len(kept) + len(dropped))
    ranking = sorted(SIGNS, key=lambda name: (-separation(kept, dropped, name), name))
    for count in range(1, len(SIGNS) + 1):
        every = {name: value for name in SIGNS if (value := threshold(kept, name, loss / count)) is not None}
        names = [name for name in ranking if name in every][:count]
        thresholds = {name: every[name] for name in names}
        if len(names) == count and ended(dropped, thresholds) >= number + least:
            best, number = thresholds, ended(dropped, thresholds)
    return best


def separation(kept: Sequence[Scores], dropped: Sequence[Scores], name: str) -> float:
    """The share of pairs in which a score of a kept image is better than that of a dropped one, less those in which it is
    worse: -1..1. Scores are chosen by it, and not by what their thresholds end, lest the best one be the one whose threshold
    is too high by chance."""
    good, bad = ([SIGNS[name] * scores[name] for scores in part if name in scores] for part in (kept, dropped))
    pairs = np.sign(np.subtract.outer(good, bad))
    return float(pairs.sum()) / max(1, len(kept) * len(dropped))


def threshold(kept: Sequence[Scores], name: str, loss: float) -> float | None:
    """The k-th worst of n scores, so that of another image the score is worse with a probability of k / (n + 1) <= loss
    (split conformal prediction); None where there are too few."""
    scores = sorted(SIGNS[name] * scores[name] for scores in kept if name in scores)
    k = floor(loss * (len(scores) + 1) + 1e-9)
    return SIGNS[name] * scores[k - 1] if k else None
