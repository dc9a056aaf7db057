"""The plan: a spec and a source, turned into numbered slots and shards of them. Pure: same input, same bytes."""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import Any

from pipelines import paths
from pipelines.errors import SpecError
from pipelines.records import Cell, Slot
from pipelines.spec import Amount, AugmentedConditioning, ImageVariation, MethodSpec, SpuriousRemoval, VersionSpec
from pipelines.store import Store

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
class Carried:
    """A data file of an earlier version whose samples are this one's, too."""

    key: str  # where it lies in the store
    slots: tuple[int, int, int]  # start, stop and step of the indices that it may hold
    labels: dict[str, int]  # samples of each class that are carried
    without: tuple[int, ...] = ()  # indices of those that are not
    whole: bool = True  # it is referred to as it is; else it is written again, without those


@dataclass(frozen=True)
class Plan:
    """Slots are never stored: slot i follows from the cells. A refreshed version's shards are those that are generated,
    then those that are written again, then those that are another version's as they are."""

    spec: str  # digest of the spec
    source: str  # fingerprint of the source
    cells: tuple[Cell, ...]
    shard_size: int
    previous: int | None = None  # the version that is refreshed
    first: int = 0  # index of the first slot: after all that earlier versions had
    carried: tuple[Carried, ...] = ()
    removed: int = 0  # samples of the earlier version that are not carried
    tokens: dict[str, str] = field(default_factory=dict)  # digests of those of classes whose images are as they were

    @cached_property
    def planned(self) -> int:
        return sum(cell.count for cell in self.cells)

    @cached_property
    def generated(self) -> int:
        """How many shards are generated."""
        return -(-self.planned // self.shard_size)

    @property
    def held(self) -> int:
        """How many samples are carried."""
        return sum(sum(part.labels.values()) for part in self.carried)

    @property
    def made(self) -> int:
        """How many shards there is anything to do for."""
        return self.generated + sum(not part.whole for part in self.carried)

    @property
    def shards(self) -> int:
        return self.generated + len(self.carried)

    def slot(self, index: int) -> Slot:
        place, ends = index - self.first, list(accumulate(cell.count for cell in self.cells))
        number = bisect_right(ends, place)
        cell = self.cells[number]
        return Slot(index, cell.label, cell.origin, cell.carried + place - (ends[number] - cell.count))

    def part(self, number: int) -> Carried | None:
        """What a shard is carried from; None if it is generated."""
        return self.carried[number - self.generated] if number >= self.generated else None

    def indices(self, number: int) -> range:
        """The slots that a shard may hold. Strided, so that every generated shard is a fair mixture of all cells."""
        part = self.part(number)
        return range(*part.slots) if part else range(self.first + number, self.first + self.planned, self.generated)

    def shard(self, number: int) -> list[Slot]:
        """The slots of a shard that is generated."""
        return [self.slot(index) for index in self.indices(number)]

    def data(self, root: str, number: int) -> str:
        """Where a shard's samples lie: with the version, or with the earlier one that they are carried from."""
        part = self.part(number)
        return part.key if part and part.whole else paths.data(root, number, self.shards)

    def files(self, root: str) -> list[str]:
        """Where the samples of all shards lie, in their order."""
        return [self.data(root, number) for number in range(self.shards)]

    def rejects(self, root: str) -> list[str]:
        """Where the samples lie that were dropped, in the order of the shards that are generated."""
        return [paths.rejected(root, number, self.shards) for number in range(self.generated)]

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "planned": self.planned, "shards": self.shards}


def read_plan(store: Store, root: str) -> Plan | None:
    """The plan of a version; None before it is planned."""
    if not store.exists(paths.plan(root)):
        return None
    found = store.json(paths.plan(root))
    return Plan(
        spec=found["spec"],
        source=found["source"],
        cells=tuple(Cell(**each) for each in found["cells"]),
        shard_size=found["shard_size"],
        previous=found.get("previous"),  # this and what follows: not in plans of before there were refreshes
        first=found.get("first", 0),
        carried=tuple(
            Carried(each["key"], tuple(each["slots"]), each["labels"], tuple(each["without"]), each["whole"])
            for each in found.get("carried", [])
        ),
        removed=found.get("removed", 0),
        tokens=found.get("tokens", {}),
    )


def make_plan(spec: VersionSpec, digest: str, fingerprint: str, have: Counts) -> Plan:
    """Raises SpecError when the amount means nothing for this source."""
    return Plan(digest, fingerprint, tuple(cells(spec.method, spec.amount, have)), spec.shard_size)
