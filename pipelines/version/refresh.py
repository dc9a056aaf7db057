"""A version made from an earlier one: what is still valid is carried over, and what the amounts lack is planned anew.

A sample is valid while the images that it was made from are there, by content, the specs agree on method, models, filters
and encoding, and no person dropped it; so is a candidate that the filters dropped and a person kept, which is restored.
Pure, as every plan: same spec, source, earlier version and verdicts, same plan.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from pipelines.errors import StoreError
from pipelines.records import Item
from pipelines.source.class_labels import class_names
from pipelines.source.source import Source
from pipelines.source.splits import SPLITS
from pipelines.spec import EntropyFilter, VersionSpec, parse
from pipelines.store import keys
from pipelines.store.canonical import canonical_rows
from pipelines.store.object_store import Store
from pipelines.version import browse
from pipelines.version.files import Files, all_stored
from pipelines.version.plan import Carried, Plan, quotas, read_plan
from pipelines.version.verdicts import HumanVerdict, Verdicts, by_sample, key_of, samples_to

Content = tuple[str, str, str | None]  # sha256, label, group: what an image is, whatever it is called


def content(item: Item) -> Content:
    return item.sha256, item.label, item.group


def source_listing(source: Source) -> bytes:
    """What a source holds, as it is kept with a version: canonical JSON."""
    names = ("id", "sha256", "label", "group")
    return canonical_rows({split: ({n: getattr(i, n) for n in names} for i in source.splits[split]) for split in SPLITS})


def made_from(store: Store, root: str, images: Collection[str]) -> bool:
    """Whether the source of a version held any of these images (SHA-256)."""
    key = keys.source(root)
    listing = store.json(key) if store.exists(key) else {}
    return any(row["sha256"] in images for items in listing.values() for row in items)


@dataclass(frozen=True)
class Base:
    """An earlier version in the store, which a refresh starts from."""

    store: Store
    number: int
    root: str
    spec: VersionSpec
    plan: Plan
    verdicts: Verdicts = field(default_factory=dict)  # of people, on its samples

    @cached_property
    def splits(self) -> dict[str, list[Item]]:
        """The items of its source by split; empty for versions from before there were refreshes."""
        key = keys.source(self.root)
        listing = self.store.json(key) if self.store.exists(key) else {}
        return {split: [Item(**item) for item in listing.get(split, [])] for split in SPLITS}

    @cached_property
    def files(self) -> list[Files]:
        """Where its shards lie, as their reports say."""
        return all_stored(self.store, self.root, self.plan)

    @cached_property
    def contents(self) -> dict[str, Counter[Content]]:
        """The training images of each class."""
        contents: dict[str, Counter[Content]] = {}
        for item in self.splits["train"]:
            contents.setdefault(item.label, Counter())[content(item)] += 1
        return contents

    @cached_property
    def restorable(self) -> dict[int, list[dict[str, Any]]]:
        """Candidates that the filters dropped and people kept, as rows without images, by the number of their shard."""
        kept, result = samples_to("keep", self.verdicts), dict[int, list[dict[str, Any]]]()
        for number in self.plan.generated_of({index for index, _ in kept}):
            file = browse.open_samples(self.store, self.files[number]["rejected"])
            rows = [row for row in browse.rows(file) if key_of(row) in kept] if file else []
            if rows:
                result[number] = rows
        return result

    @property
    def decided(self) -> bool:
        """Whether people decided otherwise than the filters: then the next version is another one."""
        return bool(samples_to("drop", self.verdicts) or self.restorable)

    def stays(self, row: dict[str, Any], replaced: Collection[int]) -> bool:
        """Whether people let a sample be carried over. Of a planned image that has another attempt restored, it goes, unless
        somebody decided to keep it as well."""
        verdict = self.verdicts.get(key_of(row))
        return row["index"] not in replaced if verdict is None else verdict.decision == "keep"


def obeyed(store: Store, root: str) -> list[HumanVerdict]:
    """People's verdicts on the version that one refreshes, as they were when it was planned."""
    rows = store.json(keys.obeyed(root)) if store.exists(keys.obeyed(root)) else []
    return [HumanVerdict(**row) for row in rows]


def open_base(store: Store, name: str, number: int, verdicts: Sequence[HumanVerdict] = ()) -> Base:
    """Raises StoreError when there is no such version (any more)."""
    root = keys.version(name, number)
    plan = read_plan(store, root)
    if plan is None or not store.exists(keys.manifest(root)):
        raise StoreError(f"version {number} of {name!r}, which was to be refreshed, is not there; ask for another refresh")
    return Base(store, number, root, parse(store.json(keys.spec(root))), plan, by_sample(verdicts))


def unchanged(spec: VersionSpec, source: Source, base: Base) -> bool:
    """Whether the version would be the same again: same spec, and same images, whatever they are called; and nobody decided
    otherwise than the filters."""
    same = spec.model_copy(update={"source": base.spec.source}) == base.spec and not base.decided
    return same and all(Counter(map(content, source.splits[s])) == Counter(map(content, base.splits[s])) for s in SPLITS)


def comparable(spec: VersionSpec, base: VersionSpec) -> bool:
    """Whether samples of one spec are valid for the other: same method, framing, filters and models, stored in one encoding:
    a class whose images alone are JPEGs would be told by that."""
    fields = ("method", "effective_framing", "smallest_frame", "models", "filters", "encoding")
    return all(getattr(unpractised(spec), field) == getattr(unpractised(base), field) for field in fields)


def unpractised(spec: VersionSpec) -> VersionSpec:
    """A spec without what chooses images by their entropy: any image is valid beside those."""
    filters = tuple(each for each in spec.filters if not isinstance(each, EntropyFilter))
    method = spec.method.model_copy(update={"entropy_guidance": 0.0})
    return spec.model_copy(update={"filters": filters, "method": method})


class OpenQuotas:
    """The quotas of a refreshed version, and how much of each the samples that are carried leave open."""

    def __init__(self, spec: VersionSpec, source: Source) -> None:
        self.quotas = quotas(spec.method, spec.amount, source.counts)
        self.open = Counter({(quota.label, quota.origin): quota.count for quota in self.quotas})
        self.images = set(map(content, source.splits["train"]))
        self.objects = {(sha256, label) for sha256, label, _ in self.images}

    def valid(self, row: dict[str, Any]) -> bool:
        """Whether the images that a sample was made from are still in the source, by content."""
        if row["group"] is None:  # its source has none, or was an image prompt only
            source_there = row["source_id"] is None or (row["source_sha256"], row["origin"]) in self.objects
        else:
            source_there = (row["source_sha256"], row["origin"], row["group"]) in self.images
        return source_there and (row["object_id"] is None or (row.get("object_sha256"), row["label"]) in self.objects)

    def take(self, row: dict[str, Any]) -> bool:
        """Count a sample against its quota, if it is valid and the quota still open."""
        kind = row["label"], row["origin"]
        if not self.open[kind] or not self.valid(row):
            return False
        self.open[kind] -= 1
        return True


def restored_parts(base: Base, quotas: OpenQuotas) -> list[Carried]:
    """What is restored of the earlier version, a part for each shard and attempt: so no part has an index twice."""
    parts = []
    for number, rows in base.restorable.items():
        valid, indices = [row for row in rows if quotas.take(row)], base.plan.indices(number)
        for attempt in sorted({row["attempt"] for row in valid}):
            own = [row for row in valid if row["attempt"] == attempt]
            part = Carried(
                key=base.files[number]["rejected"],
                indices=(indices.start, indices.stop, indices.step),
                labels=dict(Counter(row["label"] for row in own)),
                whole=False,
                restored=tuple(key_of(row) for row in own),
            )
            parts.append(part)
    return parts


def carry(
    base: Base, number: int, quotas: OpenQuotas, classes: tuple[str, ...], replaced: Collection[int]
) -> tuple[Carried, list[dict[str, Any]]]:
    """One shard of the earlier version: what is carried of it, and all its rows. Of the `replaced` indices, another attempt
    is restored."""
    key, indices = base.files[number]["data"], base.plan.indices(number)
    file = browse.open_samples(base.store, key)
    if file is None:
        raise StoreError(f"{key}: no such object, though version {base.number} names it; ask for a whole version")
    rows = browse.rows(file)
    taken = [base.stays(row, replaced) and quotas.take(row) for row in rows]
    complete = {"image", "mask", *browse.COLUMNS} <= set(file.schema_arrow.names)
    part = Carried(
        key=key,
        indices=(indices.start, indices.stop, indices.step),
        labels=dict(Counter(row["label"] for row, carried in zip(rows, taken, strict=True) if carried)),
        without=tuple(row["index"] for row, carried in zip(rows, taken, strict=True) if not carried),
        # Files of one version have the same columns and classes, or they could not be loaded together.
        whole=all(taken) and complete and tuple(class_names(file.schema_arrow)) == classes,
    )
    return part, rows


def make_refresh(spec: VersionSpec, digest: str, source: Source, base: Base) -> Plan:
    """The plan of a version that refreshes another. Raises SpecError when the amount means nothing for this source."""
    open_quotas = OpenQuotas(spec, source)
    parts: list[Carried] = []
    tokens, samples = dict(base.plan.tokens), 0
    if comparable(spec, base.spec):
        parts += restored_parts(base, open_quotas)  # first: what people kept has its place whatever else is carried
        replaced = {index for part in parts for index, _ in part.restored}
        for number in range(base.plan.shards):
            part, rows = carry(base, number, open_quotas, source.classes, replaced)
            parts += [part] if part.labels else []
            samples += len(rows)
            if base.plan.carried_part(number) is None:
                tokens |= {row["label"]: row["concept"].split("/")[-2] for row in rows if row["concept"]}
    else:
        counts = base.store.json(keys.manifest(base.root))["counts"]
        samples = counts["kept"] + counts.get("carried", 0)
    same = (spec.seed, spec.classifier) == (base.spec.seed, base.spec.classifier) and bool(parts)
    plan = Plan(
        spec=digest,
        source=source.fingerprint,
        quotas=tuple(
            replace(quota, count=count, carried=quota.count - count)
            for quota in open_quotas.quotas
            for count in [open_quotas.open[quota.label, quota.origin]]
        ),
        shard_size=spec.shard_size,
        previous=base.number,
        first=base.plan.first + base.plan.planned,
        carried=tuple(sorted(parts, key=lambda part: part.whole)),
        tokens={
            label: token
            for label, token in tokens.items()
            if same and base.contents.get(label, Counter()) == Counter(map(content, source.of(label)))
        },
    )
    return replace(plan, removed=samples - plan.carried_samples + plan.restored_samples)
