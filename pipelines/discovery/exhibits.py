"""The images of a suspect: typical ones of each class, those that speak for another, held-out ones with and without."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.discovery.attributes import ATTRIBUTES
from pipelines.discovery.exchange import DRAWS, Trial
from pipelines.discovery.study import Evidence, Study
from pipelines.records import Image
from pipelines.vision.classifier import probabilities

TYPICAL, CONTRADICTING, EXCHANGED = 6, 6, 3  # images of a class


@dataclass(frozen=True, slots=True)
class Verdict:
    """An image, and what the plain classifier takes it for."""

    image: Image
    predicted: str
    probability: float  # of its true class, 0..1


@dataclass(frozen=True, slots=True)
class Exchanged:
    """A held-out image as it is, with the attribute of an image of its class, and of one of another."""

    original: Verdict
    own: Verdict
    other: Verdict
    donor: str  # the other's class


@dataclass(frozen=True, slots=True)
class Exhibit:
    """Of one class."""

    label: str
    typical: list[Image]
    contradicting: list[Image]
    exchanged: list[Exchanged]  # where the probability falls furthest


def verdicts(study: Study, trials: Sequence[Trial], images: Sequence[Image]) -> list[Verdict]:
    shares = probabilities(study.classifier.scores(images))
    return [
        Verdict(image, study.classes[int(row.argmax())], float(row[trial.picture.target]))
        for trial, image, row in zip(trials, images, shares, strict=True)
    ]


def exhibits(study: Study, attribute: str, evidence: Evidence) -> list[Exhibit]:
    """One for each class."""
    exchange, association = ATTRIBUTES[attribute].exchange, evidence.association
    typical, contradicting = (study.members(association, typical=kind) for kind in (True, False))
    of_classes = []
    for label in study.classes:
        trials = [trial for trial in study.trials[::DRAWS] if trial.picture.item.label == label]
        triples = zip(
            trials,
            verdicts(study, trials, [trial.picture.image for trial in trials]),
            verdicts(study, trials, [exchange(trial.picture, trial.own) for trial in trials]),
            verdicts(study, trials, [exchange(trial.picture, trial.other) for trial in trials]),
            strict=True,
        )
        exchanged = [Exchanged(original, own, other, trial.other.item.label) for trial, original, own, other in triples]
        exchanged.sort(key=lambda one: one.other.probability - min(one.own.probability, one.original.probability))
        of_classes.append(
            Exhibit(
                label,
                [one.image for one in typical[label][:TYPICAL]],
                [one.image for one in contradicting[label][:CONTRADICTING]],
                exchanged[:EXCHANGED],
            )
        )
    return of_classes
