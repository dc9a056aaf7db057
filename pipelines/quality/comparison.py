"""The images that the quality report compares: samples of the version, and real images like them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipelines.chance import derive
from pipelines.quality.features import Facts, Features
from pipelines.training import out_of_fold

FEWEST = 10  # images of a class, below which nothing is measured of it
MOST = 1000  # images of a class that are compared with each other

Rows = NDArray[np.int64]
NO_ROWS: Rows = np.zeros(0, np.int64)


def balance(facts: Sequence[Facts]) -> NDArray[np.float64]:
    """A weight for each image, by which all classes, and all groups of a class, weigh the same: a judge that is trained so
    does not take a class for the scene it mostly stands on."""
    kinds, classes = Counter((one.label, one.group) for one in facts), Counter(one.label for one in facts)
    groups = Counter(label for label, _ in kinds)
    weights = [len(facts) / len(classes) / groups[one.label] / kinds[one.label, one.group] for one in facts]
    return np.array(weights)


def merged(groups: Mapping[str | None, Rows]) -> dict[str | None, Rows]:
    """The rows of all groups as one."""
    return {None: np.concatenate([NO_ROWS, *groups.values()])}


@dataclass(frozen=True)
class Alike:
    """Rows of samples, and of as many real images twice, with the same groups: what differs is the images alone."""

    samples: Rows
    reference: Rows  # of real images
    others: Rows  # of further real images: what the samples would be if they were real


@dataclass(frozen=True)
class Comparison:
    """A version's samples, and real images. Where those have groups, the group of a sample that has none is predicted."""

    classes: Sequence[str]
    measured: Features  # samples
    train: Features
    held_out: Features  # validation and test
    planned: Mapping[str, int]  # samples of each class that were asked for
    present: Mapping[str, int]  # samples of each class that the version has
    seed: int
    repainted: bool = False  # whether samples have the pixels of their source image around a region
    prompts: Sequence[str] = ()  # of the samples
    words: Mapping[str, Sequence[str]] = field(default_factory=dict)  # that prompts were to be filled with

    @cached_property
    def real(self) -> Features:
        return self.train.followed_by(self.held_out)

    @cached_property
    def group_names(self) -> list[str]:
        """The groups of the real images; none where some are unknown, or there is one alone."""
        names = {facts.group for facts in self.real.facts}
        return sorted(map(str, names)) if None not in names and len(names) > 1 else []

    @cached_property
    def samples(self) -> Features:
        """With the groups that they have, or seem to have."""
        facts, names = self.measured.facts, self.group_names
        if not names:
            return self.measured.with_facts([replace(one, group=None) for one in facts])
        targets = np.array([names.index(str(one.group)) for one in self.real.facts])
        judge = out_of_fold.train(self.real.embeddings, targets, len(names), self.seed, balance(self.real.facts))
        guesses = judge.of_others(self.measured.embeddings).argmax(axis=1)
        known = [one.group if one.group in names else names[guess] for one, guess in zip(facts, guesses, strict=True)]
        return self.measured.with_facts([replace(one, group=group) for one, group in zip(facts, known, strict=True)])

    def kind(self, facts: Facts) -> tuple[int, str | None]:
        """Class and group of an image; its class alone where not all groups are known."""
        return facts.label, facts.group if self.group_names else None

    def rng(self, *parts: object) -> np.random.Generator:
        return np.random.default_rng(derive(self.seed, "quality", *parts))

    @cached_property
    def alike(self) -> dict[int, Alike]:
        """By class, where there are enough images of it."""
        every = {label: self.alike_of(label) for label in range(len(self.classes))}
        return {label: alike for label, alike in every.items() if len(alike.samples) >= FEWEST}

    def alike_of(self, label: int) -> Alike:
        """Of each group as many; of any, where too few real images have the samples' groups."""
        real, samples = self.rows_by_group(self.real, label), self.rows_by_group(self.samples, label)
        if sum(min(len(rows), len(real.get(group, ())) // 2) for group, rows in samples.items()) < FEWEST:
            real, samples = merged(real), merged(samples)
        counts = {group: min(len(rows), len(real.get(group, ())) // 2) for group, rows in samples.items()}
        share = min(1.0, MOST / max(1, sum(counts.values())))
        parts: list[list[Rows]] = [[NO_ROWS], [NO_ROWS], [NO_ROWS]]
        for group, rows in samples.items():
            count, own = int(counts[group] * share), real.get(group, NO_ROWS)
            chosen = self.rng("samples", label, group).permutation(rows)[:count]
            mixed = self.rng("real", label, group).permutation(own)
            for part, picked in zip(parts, (chosen, mixed[:count], mixed[count : 2 * count]), strict=True):
                part.append(picked)
        return Alike(*(np.concatenate(part) for part in parts))

    def rows_by_group(self, images: Features, label: int) -> dict[str | None, Rows]:
        """Rows of a class; under None where groups are unknown."""
        rows: dict[str | None, list[int]] = {}
        for row in images.of(label):
            rows.setdefault(images.facts[row].group if self.group_names else None, []).append(int(row))
        return {group: np.array(rows[group], np.int64) for group in sorted(rows, key=str)}
