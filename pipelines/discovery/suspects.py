"""What a discovery gives: suspects, the ones that the classifier leans on first."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.discovery.remedies import REMEDIES

SCHEMA_VERSION = 1  # of discovery.json


@dataclass(frozen=True, slots=True)
class Cluster:
    """Images of a class whose attribute speaks for one class: its own, or another."""

    label: str
    attribute_of: str  # the class that the attribute speaks for
    train: int  # training images that were looked at
    held_out: int
    accuracy: float | None  # of the plain classifier on the held-out ones, 0..1; None without any


@dataclass(frozen=True, slots=True)
class HardPrompt:
    """Words for what comes with a class, and how well they tell its held-out images from the others'."""

    text: str
    area: float  # under the ROC curve of the cosine, 0..1, on images that it was not found on


@dataclass(frozen=True, slots=True)
class Suspect:
    """An attribute, and what the plain classifier makes of it."""

    attribute: str  # of ATTRIBUTES
    title: str
    suspected: bool  # whether it comes with the classes, and the predictions fall with it, both beyond chance
    own: float  # accuracy with the attribute of other images of the same class, 0..1
    other: float  # with that of images of other classes
    exchange_statistic: float  # standard errors of the fall in probability
    association: float  # share of training images whose class the attribute foretells, 0..1
    association_statistic: float  # standard errors above chance
    clusters: tuple[Cluster, ...] = ()
    words: Mapping[str, str] = field(default_factory=dict)  # class -> the word that CLIP finds in what comes with it
    prompts: Mapping[str, HardPrompt] = field(default_factory=dict)  # class -> what was found where no word was

    @property
    def remedy(self) -> str:
        """What to do next."""
        return REMEDIES[self.attribute]

    @property
    def fall(self) -> float:
        """By how much accuracy falls without the class's own attribute, 0..1."""
        return self.own - self.other


@dataclass(frozen=True, slots=True)
class Discovery:
    """All attributes, the suspects first, and how they were looked at."""

    source: str  # as it was named
    classes: Mapping[str, int]  # training images of each
    accuracy: float  # of the plain classifier on held-out images as they are, 0..1
    suspects: tuple[Suspect, ...]
    settings: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def named(self) -> tuple[Suspect, ...]:
        """Those that are suspected."""
        return tuple(suspect for suspect in self.suspects if suspect.suspected)

    @property
    def document(self) -> dict[str, Any]:
        """discovery.json: fields may be added to it; if one changes its meaning, schema_version grows."""
        return {
            "schema_version": SCHEMA_VERSION,
            "source": self.source,
            "classes": dict(self.classes),
            "accuracy": round(self.accuracy, 4),
            "suspects": [row(suspect) for suspect in self.suspects],
            "settings": dict(self.settings),
            "notes": list(self.notes),
        }


def row(suspect: Suspect) -> dict[str, Any]:
    return {
        "attribute": suspect.attribute,
        "title": suspect.title,
        "suspected": suspect.suspected,
        "fall": round(suspect.fall, 4),
        "accuracy_own": round(suspect.own, 4),
        "accuracy_other": round(suspect.other, 4),
        "exchange_statistic": round(suspect.exchange_statistic, 2),
        "association": round(suspect.association, 4),
        "association_statistic": round(suspect.association_statistic, 2),
        "clusters": [
            {
                "label": cluster.label,
                "attribute_of": cluster.attribute_of,
                "train": cluster.train,
                "held_out": cluster.held_out,
                "accuracy": None if cluster.accuracy is None else round(cluster.accuracy, 4),
            }
            for cluster in suspect.clusters
        ],
        "words": dict(suspect.words),
        "prompts": {
            label: {"text": prompt.text, "area": round(prompt.area, 4)} for label, prompt in suspect.prompts.items()
        },
        "next": suspect.remedy if suspect.suspected else None,
    }
