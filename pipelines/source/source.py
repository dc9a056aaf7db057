"""An opened source: its classes, the items of its splits, and how to read their pixels."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from pipelines.errors import SourceError
from pipelines.records import Image, Item, Mask, Problem
from pipelines.source.checks import Place
from pipelines.source.decode import decode
from pipelines.source.index import Index
from pipelines.source.sorting import BETWEEN_SPLITS
from pipelines.source.splits import SPLITS, cut_validation
from pipelines.spec.base import quantity
from pipelines.spec.sources import RealSource
from pipelines.store.canonical import rows_digest

LISTED = 20  # reasons in the summary


@dataclass(frozen=True)
class Source:
    """An opened source. `splits` always has train, validation and test; only built-in ones have a reserve."""

    classes: tuple[str, ...]
    splits: dict[str, list[Item]]
    read: Callable[[Item], Image] = field(repr=False)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # what its user might not expect: sentences
    truth: Callable[[Item], Mask] | None = field(default=None, repr=False)  # exact masks, where they are known

    @cached_property
    def fingerprint(self) -> str:
        """Hash of every image, label and group: what a concept or a plan made from this source depends on."""
        return rows_digest((s, i.id, i.sha256, i.label, i.group) for s in SPLITS for i in self.splits[s])

    @cached_property
    def counts(self) -> dict[str, dict[str | None, int]]:
        """Training images of each class by group."""
        return {label: dict(Counter(item.group for item in self.of(label))) for label in self.classes}

    @cached_property
    def members(self) -> dict[str, dict[str, list[Item]]]:
        """The items of each class in each split, in their order."""
        members: dict[str, dict[str, list[Item]]] = {split: {} for split in self.splits}
        for split, items in self.splits.items():
            for item in items:
                members[split].setdefault(item.label, []).append(item)
        return members

    def of(self, label: str, split: str = "train") -> list[Item]:
        """The items of a class in a split."""
        return self.members[split].get(label, [])

    @property
    def summary(self) -> list[str]:
        """Lines for the terminal: how many images there are, and those that cannot be used with their reasons."""
        sizes = ", ".join(f"{sum(groups.values())} {label}" for label, groups in self.counts.items())
        held_out = ", ".join(f"{len(self.splits[split])} for {split}" for split in ("validation", "test"))
        between = sum(problem.reason.endswith(BETWEEN_SPLITS) for problem in self.problems)
        copies = f"Repeated in another split, to the byte: {quantity(between, 'image')}, used once, in train if it is there."
        return [
            f"Real images: {sizes}; {held_out}; {len(self.problems)} cannot be used.",
            *([copies] if between else []),
            *self.notes,
            *grouped(self.problems)[:LISTED],
        ]


def grouped(problems: list[Problem]) -> list[str]:
    """A line for each reason, with the image that has it or, of several, the first: the most frequent reasons first."""
    by_reason: dict[str, list[str]] = {}
    for problem in problems:
        by_reason.setdefault(problem.reason, []).append(problem.id)
    lines = sorted(by_reason.items(), key=lambda reason: -len(reason[1]))
    return [f"  {ids[0]}{f' and {len(ids) - 1} more' if len(ids) > 1 else ''}: {reason}" for reason, ids in lines]


def select(splits: dict[str, list[Item]], spec: RealSource, where: str) -> dict[str, list[Item]]:
    """The images of the classes that the spec names, a validation split cut from train if it says so, of each class as many
    training images as its `shots`: those whose hashes are the first. Raises SourceError for what is not there, or is."""
    if spec.classes is not None:
        used, there = set(spec.classes), {item.label for items in splits.values() for item in items}
        if unknown := [label for label in spec.classes if label not in there]:
            raise SourceError(f"source.classes: {unknown[0]!r} is no class of {where}, which has {', '.join(sorted(there))}")
        splits = {split: [item for item in items if item.label in used] for split, items in splits.items()}
    if spec.validation_share is not None:
        if own := len(splits["validation"]):
            raise SourceError(f"source.validation_share: {where} has {own} validation images of its own; leave it out")
        train, validation = cut_validation(splits["train"], spec.validation_share)
        splits = {**splits, "train": train, "validation": validation}
    if spec.shots is not None:
        taken: Counter[str] = Counter()
        few = set()
        for item in sorted(splits["train"], key=lambda item: item.sha256):
            taken[item.label] += 1
            if taken[item.label] <= spec.shots:
                few.add(item.id)
        splits = {**splits, "train": [item for item in splits["train"] if item.id in few]}
    return splits


def source_of(index: Index, get: Callable[[Place], bytes], where: str, spec: RealSource) -> Source:
    """A source of real images, whose bytes `get` reads. Raises SourceError unless it has two classes and few enough
    problems."""
    whole, problems = index.splits(), index.problems()
    every = sum(map(len, whole.values())) + len(problems)
    splits = select(whole, spec, where)
    taught = {item.label for item in splits["train"]}
    for split, items in splits.items():
        splits[split] = [item for item in items if item.label in taught]
        untaught = [item for item in items if item.label not in taught]
        problems += [Problem(i.id, f"class {i.label!r} has no training images; add some, or remove it") for i in untaught]
    first = "".join(f"; {problem.id}: {problem.reason}" for problem in problems[:5])
    if len(taught) < 2:
        raise SourceError(f"{where} needs at least 2 classes with readable training images, and has {len(taught)}{first}")
    if len(problems) > spec.max_problems * every:
        raise SourceError(
            f"{where}: {len(problems)} of {every} files cannot be used, more than max_problems = {spec.max_problems:.0%}"
            f"{first}"
        )

    def read(item: Item) -> Image:
        return decode(get(index.place(item.sha256)), allow_synthetic=True)

    return Source(tuple(sorted(taught)), splits, read, problems, list(index.notes))
