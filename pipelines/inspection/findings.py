"""What an inspection gives: findings by kind, worst first, with the images that each is about."""

from dataclasses import dataclass, field
from typing import Any

from pipelines.records import Item

SCHEMA_VERSION = 1  # of inspect.json
KINDS: dict[str, str] = {
    "leaks": "copies in different splits",
    "conflicts": "copies in different classes",
    "copies": "copies in one split and class",
    "labels": "likely wrong labels",
    "classes": "classes too small, or of very unlike sizes",
    "groups": "images without a group beside others that have one",
    "blank": "blank images",
    "sizes": "images of very unlike size",
    "problems": "files that cannot be used",
}


@dataclass(frozen=True, slots=True)
class SplitItem:
    """An image of the source, and the split that it is in."""

    split: str
    item: Item


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault."""

    kind: str  # of KINDS
    text: str  # what is wrong and, where that is not plain, what to do
    severity: float = 0.0  # orders the findings of one kind, the largest first; has no unit
    images: tuple[SplitItem, ...] = ()
    likely: str | None = None  # of a label: the class that the image is likelier to be of


@dataclass(frozen=True, slots=True)
class Inspection:
    """All findings, and what they were found by."""

    source: str  # as it was named
    classes: dict[str, dict[str, int]]  # images of each class by split
    settings: dict[str, Any]  # thresholds, checkpoint, folds and so on
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # what could not be looked at, and why

    def of(self, kind: str) -> list[Finding]:
        """Findings of a kind, the worst first."""
        return sorted((f for f in self.findings if f.kind == kind), key=lambda finding: (-finding.severity, finding.text))

    @property
    def counts(self) -> dict[str, int]:
        return {kind: len(self.of(kind)) for kind in KINDS}

    @property
    def document(self) -> dict[str, Any]:
        """inspect.json: fields may be added to it; if one changes its meaning, schema_version grows."""
        return {
            "schema_version": SCHEMA_VERSION,
            "source": self.source,
            "classes": self.classes,
            "settings": self.settings,
            "counts": self.counts,
            "findings": {kind: [row(finding) for finding in self.of(kind)] for kind in KINDS},
            "notes": self.notes,
        }


def row(finding: Finding) -> dict[str, Any]:
    images = [
        {"id": p.item.id, "sha256": p.item.sha256, "split": p.split, "label": p.item.label, "group": p.item.group}
        for p in finding.images
    ]
    return {"text": finding.text, "severity": finding.severity, "likely": finding.likely, "images": images}
