"""Will a version help? A forecast from the images of a preview, before the version is paid for.

What a linear probe gains by them stands for what a classifier gains by the version. How far that can be believed is measured
by `python -m tests.benchmarks.forecast`; `TRUST` is what came out.
"""

import copy
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from obstore.store import MemoryStore

from pipelines.filters import Panel
from pipelines.learning.resources import Resources
from pipelines.progress import SILENT
from pipelines.quality.features import Facts, Features, features
from pipelines.quality.measures import percent
from pipelines.quality.probe_gain import Gain, Trial
from pipelines.quality.read import REAL, overview, real_images, some
from pipelines.quality.variety import NEIGHBOURS, prdc
from pipelines.records import Candidate, Item, Sample
from pipelines.spec import Evaluation, VersionSpec
from pipelines.spec.base import duration, quantity
from pipelines.store.object_store import Store
from pipelines.store.version_artifacts import VersionArtifacts
from pipelines.version.preview import Preview

IMAGES = 64  # of a preview that a forecast is made from
FEWEST = NEIGHBOURS + 1  # kept images, below which nothing is forecast
CHEAP = ("quality", "clip_score")  # filters that are neither trained nor read all training images
Direction = Literal["gain", "loss", "unclear"]
TRUST = (
    "Over 27 small versions of the built-in worlds, such forecasts ranked the real gains in average accuracy "
    "with a correlation of 0.81 (0.61 to 0.91), and those of the worst group hardly."
)
OPENING: dict[Direction, str] = {
    "gain": "The version will probably help",
    "loss": "The version will probably harm",
    "unclear": "Whether the version helps cannot be told",
}


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a preview says of the version."""

    images: int  # of the preview
    dropped: dict[str, int]  # by reason
    unjudged: Sequence[str]  # filters of the spec that were left out
    average: Gain | None  # in accuracy; None: hardly any image was kept
    worst_group: Gain | None  # in that of the worst class and group
    label_agreement: float | None  # share of images that a probe of real ones takes for what they are labelled as
    precision: float | None  # share of images among the real ones
    density: float | None  # how many real images each is near
    planned: int  # images of the version
    seconds: float  # that they take at the preview's pace, dropped ones too; without loading, learning and evaluation
    notes: list[str]

    @property
    def direction(self) -> Direction:
        """Of the average accuracy; unclear where the redraws do not agree."""
        if self.average is None or self.average.low <= 0 <= self.average.high:
            return "unclear"
        return "gain" if self.average.low > 0 else "loss"

    @property
    def text(self) -> str:
        """In sentences."""
        kept = self.images - sum(self.dropped.values())
        parts = [f"{kept} of {quantity(self.images, 'image')} are kept."]
        if self.average is None or self.worst_group is None:
            parts.append("Too few to forecast anything.")
        else:
            figures = f"{described(self.average)} on average, {described(self.worst_group)} in the worst group"
            parts.append(f"{OPENING[self.direction]}: with them, a linear probe's accuracy goes {figures}. {TRUST}")
        cost = f"The version's {quantity(self.planned, 'image')} would take about {duration(self.seconds)} at this pace."
        return " ".join([*parts, cost, *self.notes])

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "direction": self.direction, "text": self.text}


def described(gain: Gain) -> str:
    """'from 81.2 % to 84.0 % (-0.5 to +4.1 points)'."""
    spread = f"{100 * gain.low:+.1f} to {100 * gain.high:+.1f} points"
    return f"from {percent(gain.before)} to {percent(gain.after)} ({spread})"


def judged(resources: Resources, candidates: Sequence[Candidate]) -> list[Sample]:
    """The verdicts of the cheap filters of the spec. What they compute stays in memory."""
    cheap = copy.copy(resources)
    cheap.spec = resources.spec.model_copy(update={"filters": tuple(f for f in resources.spec.filters if f.type in CHEAP)})
    cheap.artifacts = VersionArtifacts(Store(MemoryStore()))
    return Panel(cheap).judge(candidates)


def measured(resources: Resources, items: Sequence[Item]) -> Features:
    """Real images in numbers, no more than `REAL` of them."""
    return features(
        real_images(resources, some(items, REAL, resources.spec.seed)), resources.models.clip, SILENT.stage("", 0)
    )


def sampled(resources: Resources, candidates: Sequence[Candidate]) -> Features:
    """Generated images in numbers."""
    classes, view = resources.source.classes, resources.view

    def facts(candidate: Candidate) -> Facts:
        request = candidate.request
        source = None if request.source is None else request.source.id
        return Facts(f"{request.index}-{request.attempt}", classes.index(request.label), None, source)

    images = ((facts(candidate), overview(resources, view.finished(candidate))) for candidate in candidates)
    return features(images, resources.models.clip, SILENT.stage("", 0))


def gammas(spec: VersionSpec, classes: Sequence[str]) -> list[float]:
    """The weight of a generated image's loss, by class."""
    gamma = (spec.evaluation or Evaluation()).gamma
    return [gamma.get(label, 1.0) if isinstance(gamma, dict) else gamma for label in classes]


def notes(preview: Preview, unjudged: Sequence[str]) -> list[str]:
    result = []
    if not preview.learned:
        result.append("Nothing was learned: classes go by their names, and the version may do better.")
    if unjudged:
        result.append(f"Not judged by {', '.join(unjudged)}, which need all training images.")
    return result


def forecast(preview: Preview) -> Forecast:
    """Of the version that the preview is of. Test images are not looked at: the probe is tested on validation images or,
    where there are hardly any, on training images out of fold. Raises ModelError where CLIP cannot be loaded."""
    resources, splits = preview.resources, preview.resources.source.splits
    verdicts = judged(resources, preview.candidates)
    kept = [sample.candidate for sample in verdicts if sample.verdict.kept]
    dropped = Counter(sample.verdict.reason for sample in verdicts if sample.verdict.reason is not None)
    average, worst, agreement, near = None, None, None, dict[str, float]()
    if len(kept) >= FEWEST:
        train, held_out, samples = (
            *(measured(resources, splits[s]) for s in ("train", "validation")),
            sampled(resources, kept),
        )
        trial = Trial(train, held_out, samples, gammas(resources.spec, resources.source.classes), resources.spec.seed)
        (average, worst), agreement = trial.gains(), trial.agreement()
        near = prdc(trial.real.embeddings, samples.embeddings) if len(trial.real) >= FEWEST else {}
    unjudged = [filter_.type for filter_ in resources.spec.filters if filter_.type not in CHEAP]
    count = len(preview.candidates)
    attempts = min(resources.spec.max_attempts, count / max(1, len(kept)))
    return Forecast(
        images=count,
        dropped=dict(dropped),
        unjudged=unjudged,
        average=average,
        worst_group=worst,
        label_agreement=agreement,
        precision=near.get("precision"),
        density=near.get("density"),
        planned=preview.planned,
        seconds=preview.seconds / count * preview.planned * attempts,
        notes=notes(preview, unjudged),
    )
