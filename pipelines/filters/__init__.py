"""The filters: one file each, and the one table. A filter keeps, or drops with a reason; either way it gives its scores."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

from pipelines.filters.attribution import Attribution
from pipelines.filters.clip_score import ClipScore
from pipelines.filters.label_agreement import LabelAgreement
from pipelines.filters.near_duplicate import NearDuplicate
from pipelines.filters.quality import Quality
from pipelines.learning.resources import Resources
from pipelines.records import Candidate, Sample, Verdict


class Filter(Protocol):
    def judge(self, candidates: Sequence[Candidate], kept: Sequence[Candidate]) -> list[Verdict]:
        """One verdict for each candidate that the filters before it kept, in order of their index.

        `kept` are the candidates of this shard that passed all filters at earlier attempts.
        """


@runtime_checkable
class LearningFilter(Protocol):
    """A filter with a trained model."""

    def learn(self) -> None:
        """Train it, or take it from the store."""


@runtime_checkable
class ShardFilter(Protocol):
    """A filter that compares a candidate with others of its shard, whether these were kept or not."""

    def begin(self) -> None:
        """Forget the candidates that were judged so far: a shard begins."""


FILTERS: dict[str, Callable[[Resources, Any], Filter]] = {
    "quality": Quality,
    "near_duplicate": NearDuplicate,
    "label_agreement": LabelAgreement,
    "attribution": Attribution,
    "clip_score": ClipScore,
}


class Panel:
    """The filters of a spec, applied in turn, each to the candidates that those before it kept."""

    def __init__(self, resources: Resources) -> None:
        self.filters: dict[str, Filter] = {spec.type: FILTERS[spec.type](resources, spec) for spec in resources.spec.filters}

    def learn(self) -> None:
        """Train what the filters need, before the first shard: several workers would train it side by side."""
        for filter_ in self.filters.values():
            if isinstance(filter_, LearningFilter):
                filter_.learn()

    def begin(self) -> None:
        """A shard begins: filters that compare its candidates forget those of the last."""
        for filter_ in self.filters.values():
            if isinstance(filter_, ShardFilter):
                filter_.begin()

    def judge(self, candidates: Sequence[Candidate], kept: Sequence[Candidate]) -> list[Sample]:
        verdicts = [Verdict(reason=candidate.failure) for candidate in candidates]
        for name, filter_ in self.filters.items():
            rows = [row for row, verdict in enumerate(verdicts) if verdict.kept]
            for row, verdict in zip(rows, filter_.judge([candidates[row] for row in rows], kept), strict=True):
                scores = {f"{name}.{key}": round(value, 6) for key, value in verdict.scores.items()}
                reason = None if verdict.kept else f"{name}: {verdict.reason}"
                verdicts[row] = Verdict(verdicts[row].scores | scores, reason)
        return [Sample(c, v) for c, v in zip(candidates, verdicts, strict=True)]
