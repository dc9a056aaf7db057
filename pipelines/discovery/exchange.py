"""How far predictions fall when an attribute comes from an image of another class, and not from one of the same.

Both changes are alike, seams and all: they differ in nothing but the class that the attribute comes from.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipelines.chance import derive
from pipelines.discovery.attributes import Exchange
from pipelines.discovery.picture import Picture
from pipelines.discovery.sharpness import compressed, softened
from pipelines.progress import step
from pipelines.records import Image
from pipelines.vision.classifier import Classifier, probabilities

DRAWS = 2  # of donors for an image


@dataclass(frozen=True, slots=True)
class Trial:
    """A held-out image, and training images that it is given an attribute of."""

    picture: Picture
    own: Picture  # of its class
    other: Picture  # of another


@dataclass(frozen=True, slots=True)
class Effect:
    """Of exchanging an attribute."""

    own: float  # accuracy with the attribute of other images of the same class, 0..1
    other: float  # with that of images of other classes
    statistic: float  # how many standard errors the probability of the true class falls

    @property
    def fall(self) -> float:
        return self.own - self.other


def trials(pictures: Sequence[Picture], donors: Sequence[Picture], seed: int) -> list[Trial]:
    """DRAWS for each image, one after the other; classes of donors as often as each other."""
    by_class: dict[int, list[Picture]] = {}
    for donor in donors:
        by_class.setdefault(donor.target, []).append(donor)
    drawn = []
    for number, picture in enumerate(pictures):
        random = np.random.default_rng(derive(seed, "donors", number))
        others = [target for target in by_class if target != picture.target]
        for _ in range(DRAWS):
            own, other = by_class[picture.target], by_class[others[random.integers(len(others))]]
            drawn.append(Trial(picture, own[random.integers(len(own))], other[random.integers(len(other))]))
    return drawn


def alike(trial: Trial) -> Trial:
    """With the donors compressed as strongly as the more compressed one, or else as little sharp as the less sharp one."""
    own, other = trial.own, trial.other
    if own.quality != other.quality:
        quality = min(one.quality for one in (own, other) if one.quality is not None)
        pair = [
            one if one.quality == quality else replace(one, image=compressed(one.image, quality)) for one in (own, other)
        ]
    else:
        least = min(own.sharpness, other.sharpness)
        pair = [
            one if one.sharpness <= least else replace(one, image=softened(one.image, one.around, least))
            for one in (own, other)
        ]
    return Trial(trial.picture, *pair)


def effect(classifier: Classifier, drawn: Sequence[Trial], exchange: Exchange) -> Effect:
    """Over all trials; the standard error is that over images."""
    targets = np.array([trial.picture.target for trial in drawn])

    def of_truth(images: list[Image]) -> tuple[float, NDArray[np.float64]]:
        shares = probabilities(classifier.scores(images))
        return float((shares.argmax(axis=1) == targets).mean()), shares[np.arange(len(targets)), targets]

    def exchanged(own: bool) -> list[Image]:
        images = []
        for trial in drawn:
            step()
            images.append(exchange(trial.picture, trial.own if own else trial.other))
        return images

    (own, own_shares), (other, other_shares) = of_truth(exchanged(True)), of_truth(exchanged(False))
    falls = (own_shares - other_shares).reshape(-1, DRAWS).mean(axis=1)
    error = falls.std(ddof=1) / np.sqrt(len(falls)) + 1e-4
    return Effect(own, other, float(falls.mean() / error))
