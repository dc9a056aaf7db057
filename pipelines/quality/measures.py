"""What the quality report says: measures, each beside the real images' own value, and the images that are guilty."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pipelines.quality.features import Facts

LISTED = 12  # guilty images of a measure, the worst first
Kind = Literal["sample", "train", "held-out"]


@dataclass(frozen=True, slots=True)
class Beside:
    """The image that a guilty one is to be looked at with: what it repeats."""

    kind: Kind
    id: str
    label: str


@dataclass(frozen=True, slots=True)
class Guilty:
    """A sample that a measure speaks against."""

    id: str  # INDEX-ATTEMPT
    label: str
    score: float
    note: str  # what the score is, in words
    beside: Beside | None = None


@dataclass(frozen=True, slots=True)
class Measure:
    name: str
    text: str  # a sentence
    value: float | None  # None: there were too few images
    real: float | None = None  # the same of real images beside other real ones
    limit: float | None = None  # beyond which it is a finding; None: it never is
    below: bool = False  # whether values below the limit are beyond it
    classes: Mapping[str, float] = field(default_factory=dict)  # by class
    images: Sequence[Guilty] = ()  # the worst first

    @property
    def found(self) -> bool:
        if self.value is None or self.limit is None:
            return False
        return self.value < self.limit if self.below else self.value > self.limit

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "found": self.found, "images": [asdict(image) for image in self.images]}


def section(measures: Sequence[Measure], nothing: str) -> dict[str, Any]:
    """A question's part of the report: its headline is what was found, or `nothing`."""
    findings = [measure.text for measure in measures if measure.found]
    return {
        "found": bool(findings),
        "headline": " ".join(findings) or nothing,
        "measures": [measure.as_json() for measure in measures],
    }


def listed(scores: Sequence[tuple[float, Guilty]]) -> list[Guilty]:
    """The first of the guilty, those of the largest score first."""
    return [guilty for _, guilty in sorted(scores, key=lambda pair: (-pair[0], pair[1].id))[:LISTED]]


def sample(facts: Facts, classes: Sequence[str]) -> Beside:
    return Beside("sample", facts.id, classes[facts.label])


def percent(share: float) -> str:
    """'1.2 %'."""
    return f"{100 * share:.1f} %"
