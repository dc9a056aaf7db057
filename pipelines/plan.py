"""The plan: a spec and a source, turned into numbered slots and shards of them. Pure: same input, same bytes."""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any

from pipelines.errors import SpecError
from pipelines.records import Cell, Slot
from pipelines.spec import Amount, AugmentedConditioning, ImageVariation, MethodSpec, SpuriousRemoval, VersionSpec

Counts = Mapping[str, Mapping[str | None, int]]  # training images of each class by group, the classes in their order


def divided(total: int, parts: int) -> list[int]:
    """`total` in `parts` numbers that differ by one at most: 10 in 3 is 4, 3, 3."""
    return [total // parts + (i < total % parts) for i in range(parts)]


def wanted(amount: Amount, have: Counts) -> dict[str, int]:
    """How many images of each class the amount means, beside those there are."""
    sizes = {label: sum(groups.values()) for label, groups in have.items()}
    if amount.total is not None:
        return dict(zip(sizes, divided(amount.total, len(sizes)), strict=True))
    if amount.multiply is not None:
        return {label: round(amount.multiply * size) for label, size in sizes.items()}
    if amount.balance is not None:
        return {label: max(sizes.values()) - size for label, size in sizes.items()}
    assert amount.per_class is not None  # one of them is given
    return dict.fromkeys(sizes, amount.per_class)


def lacking(have: Counts) -> list[Cell]:
    """What fills every class up to the largest (class, group). A group is reached through the classes mostly on it."""
    home = {label: max(groups, key=lambda group: groups[group]) for label, groups in have.items()}
    most = max(count for groups in have.values() for count in groups.values())
    made = []
    for group in sorted({str(g) for groups in have.values() for g in groups}):
        origins = [label for label, own in home.items() if own == group]
        if not origins:
            raise SpecError(
                f"amount.balance: no class is mostly on group {group!r}, so no image of it can be made; "
                "the source must know groups, and each must be the most frequent of some class; or give another amount"
            )
        for label, groups in have.items():
            parts = divided(most - groups.get(group, 0), len(origins))
            made += [Cell(label, origin, n) for origin, n in zip(origins, parts, strict=True)]
    return made


def cells(method: MethodSpec, amount: Amount, have: Counts) -> list[Cell]:
    """How many images of each kind the amount means. Raises SpecError when it means none."""
    if amount.balance == "groups":
        made = lacking(have)
    elif isinstance(method, SpuriousRemoval):
        made = []
        for label, count in wanted(amount, have).items():
            origins = [c for c in have if method.repaint_own or c != label]
            made += [Cell(label, o, n) for o, n in zip(origins, divided(count, len(origins)), strict=True)]
    else:
        made = [
            Cell(label, label if isinstance(method, ImageVariation | AugmentedConditioning) else None, count)
            for label, count in wanted(amount, have).items()
        ]
    if not any(cell.count for cell in made):
        raise SpecError("amount: there is nothing to make, the source has all of it; give per_class, total or multiply")
    return [cell for cell in made if cell.count]


@dataclass(frozen=True)
class Plan:
    """Slots are never stored: slot i follows from the cells."""

    spec: str  # digest of the spec
    source: str  # fingerprint of the source
    cells: tuple[Cell, ...]
    shard_size: int

    @property
    def planned(self) -> int:
        return sum(cell.count for cell in self.cells)

    @property
    def shards(self) -> int:
        return -(-self.planned // self.shard_size)

    def slot(self, index: int) -> Slot:
        ends = list(accumulate(cell.count for cell in self.cells))
        number = bisect_right(ends, index)
        cell = self.cells[number]
        return Slot(index, cell.label, cell.origin, index - (ends[number] - cell.count))

    def shard(self, number: int) -> list[Slot]:
        """The slots of one shard: strided, so that every shard is a fair mixture of all cells."""
        return [self.slot(index) for index in range(number, self.planned, self.shards)]

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "planned": self.planned, "shards": self.shards}


def make_plan(spec: VersionSpec, digest: str, fingerprint: str, have: Counts) -> Plan:
    """Raises SpecError when the amount means nothing for this source."""
    return Plan(digest, fingerprint, tuple(cells(spec.method, spec.amount, have)), spec.shard_size)
