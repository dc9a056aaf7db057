"""The plan: a spec and a source, turned into numbered images and shards of them. Pure: same input, same bytes."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import Any

from pipelines.errors import SpecError
from pipelines.records import PlannedImage, Quota
from pipelines.spec import Amount, MethodSpec, SpuriousRemoval, VersionSpec
from pipelines.spec.amount import divided
from pipelines.spec.method_table import varies
from pipelines.store import keys
from pipelines.store.object_store import Store

UNITS = 64  # of a version, below which they are a shard each, so that several workers have work
LARGEST_UNIT = 8  # shards
Counts = Mapping[str, Mapping[str | None, int]]  # training images of each class by group, the classes in their order


def class_counts(amount: Amount, source: Counts) -> dict[str, int]:
    """How many images of each class the amount adds to those of the source."""
    sizes = {label: sum(groups.values()) for label, groups in source.items()}
    if amount.total is not None:
        return dict(zip(sizes, divided(amount.total, len(sizes)), strict=True))
    if amount.multiply is not None:
        return {label: round(amount.multiply * size) for label, size in sizes.items()}
    if amount.balance is not None:
        return {label: max(sizes.values()) - size for label, size in sizes.items()}
    assert amount.per_class is not None  # one of them is given
    return dict.fromkeys(sizes, amount.per_class)


def group_quotas(source: Counts) -> list[Quota]:
    """Fill every class up to the largest (class, group). A group is reached through the classes that are mostly on it."""
    if any(group is None for groups in source.values() for group in groups):
        raise SpecError(
            "amount.balance: the groups of some training images are not known, so they cannot be balanced; name the groups "
            "of the source (of a folder, in a metadata.csv), or give another amount"
        )
    majority = {label: max(groups, key=lambda group: groups[group]) for label, groups in source.items()}
    largest = max(count for groups in source.values() for count in groups.values())
    result = []
    for group in sorted({str(group) for groups in source.values() for group in groups}):
        origins = [label for label, own in majority.items() if own == group]
        if not origins:
            raise SpecError(
                f"amount.balance: no class is mostly on group {group!r}, so no image of it can be made; "
                "the source must know groups, and each must be the most frequent of some class; or give another amount"
            )
        for label, groups in source.items():
            parts = divided(largest - groups.get(group, 0), len(origins))
            result += [Quota(label, origin, n) for origin, n in zip(origins, parts, strict=True)]
    return result


def quotas(method: MethodSpec, amount: Amount, source: Counts) -> list[Quota]:
    """The quotas of an amount. Raises SpecError when they are empty."""
    if amount.balance == "groups":
        result = group_quotas(source)
    elif isinstance(method, SpuriousRemoval):
        result = []
        for label, count in class_counts(amount, source).items():
            origins = [c for c in source if method.repaint_own or c != label]
            result += [Quota(label, o, n) for o, n in zip(origins, divided(count, len(origins)), strict=True)]
    else:
        result = [
            Quota(label, label if varies(method) else None, count) for label, count in class_counts(amount, source).items()
        ]
    if not any(quota.count for quota in result):
        raise SpecError("amount: there is nothing to make, the source has all of it; give per_class, total or multiply")
    return [quota for quota in result if quota.count]


@dataclass(frozen=True)
class Carried:
    """A data file of an earlier version whose samples are this one's, too."""

    key: str  # where it lies in the store
    indices: tuple[int, int, int]  # start, stop and step of the plan's indices that it may hold
    labels: dict[str, int]  # samples of each class that are carried
    without: tuple[int, ...] = ()  # indices of those that are not
    whole: bool = True  # it is referred to as it is; else it is written again, without those
    # Of a file of dropped candidates: index and attempt of those that are carried, since people kept them.
    restored: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Plan:
    """Planned images are never stored: image i follows from the quotas. A refreshed version's shards are those that are
    generated, then those that are written again, then those that are another version's as they are."""

    spec: str  # digest of the spec
    source: str  # fingerprint of the source
    quotas: tuple[Quota, ...]
    shard_size: int
    previous: int | None = None  # the version that is refreshed
    first: int = 0  # index of the first planned image: after all that earlier versions had
    carried: tuple[Carried, ...] = ()
    removed: int = 0  # samples of the earlier version that are not carried
    tokens: dict[str, str] = field(default_factory=dict)  # digests of those of classes whose images are unchanged

    @cached_property
    def planned(self) -> int:
        """How many images are to be generated."""
        return sum(quota.count for quota in self.quotas)

    @cached_property
    def per_class(self) -> dict[str, int]:
        """How many images are to be generated of each class."""
        counts: Counter[str] = Counter()
        for quota in self.quotas:
            counts[quota.label] += quota.count
        return dict(counts)

    @cached_property
    def generated_shards(self) -> int:
        return -(-self.planned // self.shard_size)

    @property
    def carried_samples(self) -> int:
        return sum(sum(part.labels.values()) for part in self.carried)

    @property
    def restored_samples(self) -> int:
        return sum(len(part.restored) for part in self.carried)

    @property
    def written_shards(self) -> int:
        """Shards that are generated or written again: those with anything to do."""
        return self.generated_shards + sum(not part.whole for part in self.carried)

    @property
    def shards(self) -> int:
        return self.generated_shards + len(self.carried)

    @property
    def unit_size(self) -> int:
        """Shards of a worker's unit: several of a large version, which then run as one stream, and still make many units."""
        return min(LARGEST_UNIT, max(1, self.written_shards // UNITS))

    @property
    def units(self) -> int:
        """Into how many units the shards are divided that are generated or written again."""
        return -(-self.written_shards // self.unit_size)

    def unit(self, number: int) -> range:
        """The shards of a unit."""
        return range(number * self.unit_size, min((number + 1) * self.unit_size, self.written_shards))

    @cached_property
    def ends(self) -> list[int]:
        """Of each quota, how many images are planned up to its last."""
        return list(accumulate(quota.count for quota in self.quotas))

    def image(self, index: int) -> PlannedImage:
        """The planned image of an index."""
        place = index - self.first
        number = bisect_right(self.ends, place)
        quota = self.quotas[number]
        ordinal = place - (self.ends[number] - quota.count)
        return PlannedImage(index, quota.label, quota.origin, quota.carried + ordinal, ordinal)

    def carried_part(self, number: int) -> Carried | None:
        """What a shard is carried from; None if it is generated."""
        return self.carried[number - self.generated_shards] if number >= self.generated_shards else None

    def indices(self, number: int) -> range:
        """Indices that a shard may hold. Strided, so that every generated shard is a fair mixture of all quotas."""
        part = self.carried_part(number)
        if part is not None:
            return range(*part.indices)
        return range(self.first + number, self.first + self.planned, self.generated_shards)

    def generated_of(self, indices: Collection[int]) -> list[int]:
        """The shards that are generated and hold any of these indices."""
        shards = range(self.generated_shards) if indices else ()
        return [number for number in shards if any(index in self.indices(number) for index in indices)]

    def shard(self, number: int) -> list[PlannedImage]:
        """The planned images of a shard that is generated."""
        return [self.image(index) for index in self.indices(number)]

    def as_json(self) -> dict[str, Any]:
        """As stored, where quotas are called `cells` and a carried file's indices `slots`."""
        document = asdict(self)
        document["cells"] = document.pop("quotas")
        document["carried"] = [
            {"slots" if k == "indices" else k: v for k, v in part.items()} for part in document["carried"]
        ]
        return {**document, "planned": self.planned, "shards": self.shards}


def read_plan(store: Store, root: str) -> Plan | None:
    """The plan of a version; None before it is planned."""
    if not store.exists(keys.plan(root)):
        return None
    return plan_of(store.json(keys.plan(root)))


def plan_of(document: Mapping[str, Any]) -> Plan:
    """A plan as it is stored."""
    return Plan(
        spec=document["spec"],
        source=document["source"],
        quotas=tuple(Quota(**quota) for quota in document["cells"]),
        shard_size=document["shard_size"],
        previous=document.get("previous"),  # this and what follows: not in plans of before there were refreshes
        first=document.get("first", 0),
        carried=tuple(
            Carried(
                part["key"],
                tuple(part["slots"]),
                part["labels"],
                tuple(part["without"]),
                part["whole"],
                tuple((index, attempt) for index, attempt in part.get("restored", [])),
            )
            for part in document.get("carried", [])
        ),
        removed=document.get("removed", 0),
        tokens=document.get("tokens", {}),
    )


def make_plan(spec: VersionSpec, digest: str, fingerprint: str, source: Counts) -> Plan:
    """Raises SpecError when the amount means nothing for this source."""
    return Plan(digest, fingerprint, tuple(quotas(spec.method, spec.amount, source)), spec.shard_size)
