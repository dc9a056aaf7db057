"""An opened source: its classes, the items of its splits, and how to read their pixels."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from pipelines.errors import SourceError
from pipelines.records import Image, Item, Mask, Problem
from pipelines.source.checks import Contents
from pipelines.source.splits import SPLITS
from pipelines.store.canonical import digest

LISTED = 20  # unusable images in the summary


@dataclass(frozen=True)
class Source:
    """An opened source. `splits` always has train, validation and test; only built-in ones have a reserve."""

    classes: tuple[str, ...]
    splits: dict[str, list[Item]]
    read: Callable[[Item], Image] = field(repr=False)
    problems: list[Problem] = field(default_factory=list)
    truth: Callable[[Item], Mask] | None = field(default=None, repr=False)  # exact masks, where they are known

    @property
    def fingerprint(self) -> str:
        """Hash of every image, label and group: what a concept or a plan made from this source depends on."""
        return digest([[s, i.id, i.sha256, i.label, i.group] for s in SPLITS for i in self.splits[s]])

    @property
    def counts(self) -> dict[str, dict[str | None, int]]:
        """Training images of each class by group."""
        return {label: dict(Counter(item.group for item in self.of(label))) for label in self.classes}

    def of(self, label: str, split: str = "train") -> list[Item]:
        return [item for item in self.splits[split] if item.label == label]

    @property
    def summary(self) -> list[str]:
        """Lines for the terminal: how many images there are, and those that cannot be used with their reasons."""
        sizes = ", ".join(f"{sum(groups.values())} {label}" for label, groups in self.counts.items())
        held_out = ", ".join(f"{len(self.splits[split])} for {split}" for split in ("validation", "test"))
        refused = [f"  {problem.id}: {problem.reason}" for problem in self.problems[:LISTED]]
        return [f"Real images: {sizes}; {held_out}; {len(self.problems)} cannot be used.", *refused]


def checked(contents: Contents, read: Callable[[Item], Image], where: str, most: float) -> Source:
    """A source of real images. Raises SourceError unless it has two classes and few enough problems."""
    splits, problems = contents.splits, contents.problems
    classes = tuple(sorted({item.label for item in splits["train"]}))
    for split, items in splits.items():
        splits[split] = [item for item in items if item.label in classes]
        untaught = [item for item in items if item.label not in classes]
        problems += [Problem(i.id, f"class {i.label!r} has no training images; add some, or remove it") for i in untaught]
    every = sum(map(len, splits.values())) + len(problems)
    first = "".join(f"; {problem.id}: {problem.reason}" for problem in problems[:5])
    if len(classes) < 2:
        raise SourceError(f"{where} needs at least 2 classes with readable training images, and has {len(classes)}{first}")
    if len(problems) > most * every:
        raise SourceError(
            f"{where}: {len(problems)} of {every} files cannot be used, more than max_problems = {most:.0%}{first}"
        )
    return Source(classes, splits, read, problems)
