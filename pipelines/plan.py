"""The plan: a spec and a source, turned into numbered slots and shards of them. Pure: same input, same bytes."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any

from pipelines.records import Cell, Slot
from pipelines.spec import MethodSpec, SpuriousRemoval, VersionSpec


def divided(total: int, parts: int) -> list[int]:
    """`total` in `parts` numbers that differ by one at most: 10 in 3 is 4, 3, 3."""
    return [total // parts + (i < total % parts) for i in range(parts)]


def cells(method: MethodSpec, per_class: int, classes: Sequence[str]) -> list[Cell]:
    """How many images of each kind the amount means."""
    if not isinstance(method, SpuriousRemoval):
        return [Cell(label, None, per_class) for label in classes]
    made = []
    for label in classes:
        origins = [c for c in classes if method.repaint_own or c != label]
        made += [Cell(label, o, n) for o, n in zip(origins, divided(per_class, len(origins)), strict=True)]
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


def make_plan(spec: VersionSpec, digest: str, fingerprint: str, classes: Sequence[str]) -> Plan:
    return Plan(digest, fingerprint, tuple(cells(spec.method, spec.amount.per_class, classes)), spec.shard_size)
