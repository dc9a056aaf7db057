"""The best of each class by a score of their filter: the comparison of filters that rank.

Kept is what scores at least as well as the `top` share of its class's candidates at the shard's first attempt. Shards are
judged apart, so the threshold is the shard's own estimate of the class's.
"""

from collections.abc import Sequence
from math import ceil

from pipelines.records import Sample, Verdict


class Best:
    """The `top` share of each class, by the scores of a shard's first attempt."""

    def __init__(self, score: str, top: float, superlative: str = "best") -> None:
        """`score` is "filter.score", of which more is better; `superlative` stands in the reason."""
        self.score, self.top, self.superlative = score, top, superlative
        self.thresholds: dict[str, float] = {}  # by class: the least score among its best

    def judge(self, attempt: Sequence[Sample]) -> list[Verdict]:
        labels = [sample.candidate.request.label for sample in attempt]
        scores = [sample.verdict.scores[self.score] for sample in attempt]
        for label in set(labels) - self.thresholds.keys():
            ranked = sorted((s for name, s in zip(labels, scores, strict=True) if name == label), reverse=True)
            self.thresholds[label] = ranked[ceil(self.top * len(ranked)) - 1]
        return [
            Verdict({}, None if score >= self.thresholds[label] else f"not among the {self.superlative} of {label}")
            for label, score in zip(labels, scores, strict=True)
        ]
