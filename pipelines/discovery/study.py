"""A plain classifier, and the images on which it is examined: training images whose attributes held-out ones are given."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipelines.discovery import images
from pipelines.discovery.association import Association, Targets, associate
from pipelines.discovery.attributes import Attribute
from pipelines.discovery.exchange import Effect, Trial, alike, effect, trials
from pipelines.discovery.picture import Picture
from pipelines.discovery.suspects import Cluster
from pipelines.progress import Progress
from pipelines.source.source import Source
from pipelines.spec import Classifier as ClassifierSpec
from pipelines.training.batches import Feed
from pipelines.training.fit import fit
from pipelines.vision.classifier import Classifier, own_side, preprocessing

ASSOCIATED, MOVED = 6.0, 3.5  # standard errors from which an association, and a fall, are beyond chance
LEAST = 0.03  # accuracy that a suspect is worth at least


def targets_of(pictures: Sequence[Picture]) -> Targets:
    return np.array([picture.target for picture in pictures], np.int64)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Of one attribute."""

    association: Association
    effect: Effect
    core: Effect  # of the part that must have an effect by itself

    @property
    def statistic(self) -> float:
        """Standard errors of the fall in probability, of the weaker one."""
        return min(self.effect.statistic, self.core.statistic)

    @property
    def beyond_chance(self) -> bool:
        """Whether the attribute comes with the classes, and the predictions fall with it."""
        return self.association.statistic >= ASSOCIATED and self.statistic >= MOVED and self.effect.fall >= LEAST


@dataclass(frozen=True)
class Study:
    classes: tuple[str, ...]
    classifier: Classifier
    donors: list[Picture]  # training images
    held_out: list[Picture]
    right: NDArray[np.bool_]  # which held-out images the classifier tells
    trials: list[Trial]
    sizes: dict[str, int]  # training images of each class
    settings: dict[str, object]

    @cached_property
    def alike(self) -> list[Trial]:
        """The same trials, between donors of like compression and sharpness."""
        return [alike(trial) for trial in self.trials]

    def evidence(self, attribute: Attribute) -> Evidence:
        described = [np.stack([attribute.describe(one) for one in some]) for some in (self.donors, self.held_out)]
        association = associate(described[0], targets_of(self.donors), described[1], len(self.classes))
        whole = effect(self.classifier, self.trials, attribute.exchange)
        core = whole if attribute.core is None else effect(self.classifier, self.alike, attribute.core)
        return Evidence(association, whole, core)

    def clusters(self, association: Association) -> tuple[Cluster, ...]:
        """Every class's images by the class that their attribute speaks for."""
        train, held_out = targets_of(self.donors), targets_of(self.held_out)
        cells = []
        for label, name in enumerate(self.classes):
            for other, attribute_of in enumerate(self.classes):
                rows = (held_out == label) & (association.held_out == other)
                count = int(((train == label) & (association.train == other)).sum())
                accuracy = float(self.right[rows].mean()) if rows.any() else None
                cells.append(Cluster(name, attribute_of, count, int(rows.sum()), accuracy))
        return tuple(cells)

    def members(self, association: Association, *, typical: bool, held_out: bool = False) -> dict[str, list[Picture]]:
        """Training images of each class, or held-out ones, whose attribute speaks for it, or for another."""
        members: dict[str, list[Picture]] = {label: [] for label in self.classes}
        pictures, spoken = (self.held_out, association.held_out) if held_out else (self.donors, association.train)
        for picture, attribute_of in zip(pictures, spoken.tolist(), strict=True):
            if (picture.target == attribute_of) == typical:
                members[picture.item.label].append(picture)
        return members


def study(source: Source, spec: ClassifierSpec, progress: Progress, device: str = "auto", seed: int = 0) -> Study:
    """Train the plain classifier, by `spec` and without any group label, and take images apart. Raises SourceError."""
    chosen = images.split(source)
    side = spec.resolution or (own_side(preprocessing(spec.checkpoint)) if spec.checkpoint else None)
    side = side or images.side_of(source, chosen.train)
    train = images.read(source, chosen.train, side, "read: training images", progress)
    held_out = images.read(source, chosen.held_out, side, "read: held-out images", progress)
    feed = Feed(images.examples(train, chosen.train), chosen.classes)
    done = progress.stage("train: the plain classifier", spec.steps)
    classifier = fit(spec, chosen.classes, feed, None, None, gamma=1.0, seed=seed, device=device, progress=done)
    recipients = images.pictures(held_out, chosen.held_out, chosen.classes, "take apart: held-out images", progress)
    donors = images.pictures(train, chosen.train, chosen.classes, "take apart: training images", progress)
    logits = classifier.scores([picture.image for picture in recipients]).numpy()
    right = logits.argmax(axis=1) == targets_of(recipients)
    settings: dict[str, object] = {
        "classifier": spec.checkpoint or "small",
        "steps": spec.steps,
        "side": side,
        "training_images": len(train),
        "held_out_images": len(recipients),
        "compared_images": len(donors),
        "seed": seed,
    }
    sizes = dict(Counter(item.label for item in chosen.train))
    return Study(chosen.classes, classifier, donors, recipients, right, trials(recipients, donors, seed), sizes, settings)
