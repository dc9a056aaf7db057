"""The filters: one file each, and the one table. A filter keeps, or drops with a reason; either way it gives its scores."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, runtime_checkable

from pipelines.filters.attribution import Attribution
from pipelines.filters.clip_score import ClipScore
from pipelines.filters.diffusion_classifier import DenoisingError
from pipelines.filters.entropy import Entropy
from pipelines.filters.label_agreement import LabelAgreement
from pipelines.filters.near_duplicate import NearDuplicate
from pipelines.filters.object_size import ObjectSize
from pipelines.filters.order import FilterOrder
from pipelines.filters.probe import Probe
from pipelines.filters.quality import Quality
from pipelines.filters.rigid import Rigid
from pipelines.learning.resources import Resources
from pipelines.records import Candidate, Sample, Verdict


class Filter(Protocol):
    def judge(self, candidates: Sequence[Candidate]) -> list[Verdict]:
        """One verdict for each candidate that the filters before it kept: of it alone, whatever others there are."""


@runtime_checkable
class LearningFilter(Protocol):
    """A filter that takes something from the real images: a trained model, thresholds, embeddings."""

    def learn(self, labels: Collection[str]) -> None:
        """Compute it, or take it from the store, to judge images of these classes."""


class Comparison(Protocol):
    """Compares the candidates of one shard with each other."""

    def judge(self, attempt: Sequence[Sample]) -> list[Verdict]:
        """One verdict for each candidate of an attempt that every filter has kept, in order of their index. What it judged
        before, at the shard's earlier attempts, may count."""


@runtime_checkable
class ComparisonAcrossShards(Protocol):
    """A comparison that goes on between shards, once all are done."""

    def fingerprints(self, indices: Collection[int]) -> bytes:
        """What the kept candidates of these indices are compared by, as it is stored with the shard."""


@runtime_checkable
class ComparingFilter(Protocol):
    """A filter that also compares candidates with each other."""

    def comparison(self) -> Comparison:
        """For a shard that begins."""


FILTERS: dict[str, Callable[[Resources, Any], Filter]] = {
    "quality": Quality,
    "near_duplicate": NearDuplicate,
    "label_agreement": LabelAgreement,
    "attribution": Attribution,
    "clip_score": ClipScore,
    "rigid": Rigid,
    "probe": Probe,
    "diffusion_classifier": DenoisingError,
    "object_size": ObjectSize,
    "entropy": Entropy,
}


class Panel:
    """The filters of a spec, applied in turn, each to the candidates that those before it kept; then comparisons, shard by
    shard."""

    def __init__(self, resources: Resources) -> None:
        self.filters: dict[str, Filter] = {spec.type: FILTERS[spec.type](resources, spec) for spec in resources.spec.filters}
        self.order = FilterOrder(resources, self.filters) if resources.spec.filter_order == "measured" else None

    def learn(self, labels: Collection[str]) -> None:
        """Compute what the filters need to judge images of these classes, before the first shard: several workers would
        compute it side by side, and each otherwise."""
        for filter_ in self.filters.values():
            if isinstance(filter_, LearningFilter):
                filter_.learn(labels)

    def judge(self, candidates: Sequence[Candidate]) -> list[Sample]:
        """The verdicts on each candidate alone."""
        samples = [Sample(candidate, Verdict(dict(candidate.scores), candidate.failure)) for candidate in candidates]
        if self.order is not None and self.order.names is None:
            kept = [sample.candidate for sample in samples if sample.verdict.kept]
            for name, verdicts in self.order.measure(kept).items():
                own = {id(candidate): verdict for candidate, verdict in zip(kept, verdicts, strict=True)}
                judge_kept(samples, name, partial(verdicts_of, own))
            return samples
        for name in self.filters if self.order is None else self.order.names or ():
            judge_kept(samples, name, partial(judge_alone, self.filters[name]))
        return samples

    def comparisons(self) -> "Comparisons":
        """For a shard that begins."""
        comparing = {name: filter_ for name, filter_ in self.filters.items() if isinstance(filter_, ComparingFilter)}
        return Comparisons({name: filter_.comparison() for name, filter_ in comparing.items()})


class Comparisons:
    """Those of a shard, applied in turn."""

    def __init__(self, comparisons: Mapping[str, Comparison]) -> None:
        self.comparisons = comparisons

    def judge(self, attempt: Sequence[Sample]) -> list[Sample]:
        """The samples of an attempt, which every filter has kept, with the verdicts of the comparisons."""
        samples = list(attempt)
        for name, comparison in self.comparisons.items():
            judge_kept(samples, name, comparison.judge)
        return samples

    def fingerprints(self, indices: Collection[int]) -> bytes | None:
        """Of the kept candidates of these indices, for the comparison with other shards; None where there is none."""
        across = (each for each in self.comparisons.values() if isinstance(each, ComparisonAcrossShards))
        return next((comparison.fingerprints(indices) for comparison in across), None)


def verdicts_of(known: Mapping[int, Verdict], samples: Sequence[Sample]) -> list[Verdict]:
    """Those that are known, by the id() of a candidate."""
    return [known[id(sample.candidate)] for sample in samples]


def judge_alone(filter_: Filter, samples: Sequence[Sample]) -> list[Verdict]:
    return filter_.judge([sample.candidate for sample in samples])


def judge_kept(samples: list[Sample], name: str, judge: Callable[[Sequence[Sample]], list[Verdict]]) -> None:
    """Have those that are kept so far judged, and put the samples with their further verdict in their places."""
    rows = [row for row, sample in enumerate(samples) if sample.verdict.kept]
    for row, verdict in zip(rows, judge([samples[row] for row in rows]), strict=True):
        scores = {f"{name}.{key}": round(value, 6) for key, value in verdict.scores.items()}
        reason = None if verdict.kept else f"{name}: {verdict.reason}"
        samples[row] = Sample(samples[row].candidate, Verdict(samples[row].verdict.scores | scores, reason))
