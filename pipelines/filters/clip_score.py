"""CLIP must see the label rather than the other classes (He et al., ICLR 2023, arXiv 2210.07574).

A class is said by its name; or, where CLIP cannot know the name, shown by its real images. The best `top` of each class
can be kept alone, too (Geng et al. 2024, arXiv 2406.05184).
"""

from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from math import ceil

from torch import Tensor

from pipelines.calibration import SLACK, held_out, reached
from pipelines.records import Candidate, Verdict
from pipelines.spec import ClipScoreFilter
from pipelines.vision.features import Clip
from pipelines.workbench import Workbench


class ClipScore:
    def __init__(self, bench: Workbench, spec: ClipScoreFilter) -> None:
        self.bench, self.spec = bench, spec

    @cached_property
    def least(self) -> float:
        """The share of the label among the classes that an image must exceed."""
        if self.spec.calibrate is not None:
            return reached(self.own(held_out(self.bench, self.spec.type)), self.spec.calibrate) - SLACK
        return 1 / len(self.bench.source.classes) if self.spec.min_share is None else self.spec.min_share

    @cached_property
    def clip(self) -> Clip:
        return Clip(self.bench.spec.models.clip, self.bench.spec.models.device)

    @cached_property
    def directions(self) -> Tensor:
        """One a class."""
        source = self.bench.source
        if self.spec.classes == "names":
            return self.clip.words(source.classes)
        return self.clip.shown([self.bench.images(source.of(label)) for label in source.classes])

    def judge(self, candidates: Sequence[Candidate], kept: Sequence[Candidate]) -> list[Verdict]:
        labels = [candidate.request.label for candidate in candidates]
        own = self.own(candidates)
        best = self.best(labels, own)
        return [self.one(labels[row], own[row], row in best) for row in range(len(labels))]

    def own(self, candidates: Sequence[Candidate]) -> list[float]:
        """The share of each image's label among the classes."""
        shares = self.clip.shares(self.clip.images([c.image for c in candidates]), self.directions)
        columns = [self.bench.source.classes.index(candidate.request.label) for candidate in candidates]
        return [float(row[column]) for row, column in zip(shares, columns, strict=True)]

    def best(self, labels: Sequence[str], scores: Sequence[float]) -> set[int]:
        """The rows that are among the best of their class."""
        rows = defaultdict(list)
        for row in sorted(range(len(labels)), key=lambda row: (-scores[row], row)):
            rows[labels[row]].append(row)
        return {row for each in rows.values() for row in each[: ceil(self.spec.top * len(each))]}

    def one(self, label: str, score: float, among_best: bool) -> Verdict:
        if score <= self.least:
            return Verdict({"own": score}, f"does not look like a {label}")
        return Verdict({"own": score}, None if among_best else f"not among the best of {label}")
