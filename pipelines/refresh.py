"""A version made from an earlier one: what is still valid is carried over, and what the amounts lack is planned anew.

A sample is valid while the images that it was made from are there, by content, and the spec asks for the same of it. Pure,
as every plan: same spec, source and earlier version, same plan.
"""

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from pipelines import browse, paths
from pipelines.errors import StoreError
from pipelines.plan import Carried, Plan, cells, read_plan
from pipelines.records import Item
from pipelines.source import Source
from pipelines.source.splits import SPLITS
from pipelines.spec import VersionSpec, parse
from pipelines.store import Store

Content = tuple[str, str, str | None]  # sha256, label, group: what an image is, whatever it is called


def content(item: Item) -> Content:
    return item.sha256, item.label, item.group


def listed(source: Source) -> dict[str, Any]:
    """What a source holds, as it is kept with a version."""
    names = ("id", "sha256", "label", "group")
    return {split: [{name: getattr(item, name) for name in names} for item in source.splits[split]] for split in SPLITS}


@dataclass(frozen=True)
class Base:
    """An earlier version, as the store has it."""

    store: Store
    number: int
    root: str
    spec: VersionSpec
    plan: Plan

    @cached_property
    def splits(self) -> dict[str, list[Item]]:
        """What its source held; nothing is known of versions from before there were refreshes."""
        key = paths.source(self.root)
        found = self.store.json(key) if self.store.exists(key) else {}
        return {split: [Item(**each) for each in found.get(split, [])] for split in SPLITS}

    def contents(self, label: str) -> Counter[Content]:
        return Counter(content(item) for item in self.splits["train"] if item.label == label)


def open_base(store: Store, name: str, number: int) -> Base:
    """Raises StoreError when there is no such version (any more)."""
    root = paths.version(name, number)
    plan = read_plan(store, root)
    if plan is None or not store.exists(paths.manifest(root)):
        raise StoreError(f"version {number} of {name!r}, which was to be refreshed, is not there; ask for another refresh")
    return Base(store, number, root, parse(store.json(paths.spec(root))), plan)


def unchanged(spec: VersionSpec, source: Source, base: Base) -> bool:
    """Whether the version would be the same again: same spec, and same images, whatever they are called."""
    same = spec.model_copy(update={"source": base.spec.source}) == base.spec
    return same and all(Counter(map(content, source.splits[s])) == Counter(map(content, base.splits[s])) for s in SPLITS)


def comparable(spec: VersionSpec, base: VersionSpec) -> bool:
    """Whether samples of one are what the other asks for, wherever they were made."""
    anywhere = {"models": spec.models.model_copy(update={"device": base.models.device})}
    asked = spec.model_copy(update=anywhere)
    return (asked.method, asked.models, asked.filters) == (base.method, base.models, base.filters)


class Room:
    """What the amounts leave room for, sample by sample."""

    def __init__(self, spec: VersionSpec, source: Source) -> None:
        self.wanted = cells(spec.method, spec.amount, source.counts)
        self.left = Counter({(cell.label, cell.origin): cell.count for cell in self.wanted})
        self.images = set(map(content, source.splits["train"]))
        self.objects = {(sha256, label) for sha256, label, _ in self.images}

    def valid(self, row: dict[str, Any]) -> bool:
        if row["group"] is None:  # its source has none, or it was only shown its source
            made_of = row["source_id"] is None or (row["source_sha256"], row["origin"]) in self.objects
        else:
            made_of = (row["source_sha256"], row["origin"], row["group"]) in self.images
        return made_of and (row["object_id"] is None or (row.get("object_sha256"), row["label"]) in self.objects)

    def takes(self, row: dict[str, Any]) -> bool:
        """Whether a sample is valid and still asked for; then its place is taken."""
        cell = row["label"], row["origin"]
        if not self.left[cell] or not self.valid(row):
            return False
        self.left[cell] -= 1
        return True


def carry(base: Base, number: int, room: Room, classes: tuple[str, ...]) -> tuple[Carried, list[dict[str, Any]]]:
    """One shard of the earlier version: what is carried of it, and all its rows."""
    key, slots = base.plan.data(base.root, number), base.plan.indices(number)
    file = browse.opened(base.store, key)
    if file is None:
        raise StoreError(f"{key}: no such object, though version {base.number} names it; ask for a whole version")
    found = browse.rows(file)
    taken = [room.takes(row) for row in found]
    columns = set(file.schema_arrow.names)
    part = Carried(
        key=key,
        slots=(slots.start, slots.stop, slots.step),
        labels=dict(Counter(row["label"] for row, good in zip(found, taken, strict=True) if good)),
        without=tuple(row["index"] for row, good in zip(found, taken, strict=True) if not good),
        # Files of one version have the same columns and classes, or they could not be loaded together.
        whole=all(taken) and columns > set(browse.COLUMNS) and tuple(browse.class_names(file.schema_arrow)) == classes,
    )
    return part, found


def make_refresh(spec: VersionSpec, digest: str, source: Source, base: Base) -> Plan:
    """The plan of a version that refreshes another. Raises SpecError when the amount means nothing for this source."""
    room = Room(spec, source)
    parts: list[Carried] = []
    tokens, had = dict(base.plan.tokens), 0
    if comparable(spec, base.spec):
        for number in range(base.plan.shards):
            part, found = carry(base, number, room, source.classes)
            parts += [part] if part.labels else []
            had += len(found)
            if base.plan.part(number) is None:
                tokens |= {row["label"]: row["concept"].split("/")[-2] for row in found if row["concept"]}
    else:
        counts = base.store.json(paths.manifest(base.root))["counts"]
        had = counts["kept"] + counts.get("carried", 0)
    same = (spec.seed, spec.classifier) == (base.spec.seed, base.spec.classifier) and bool(parts)
    plan = Plan(
        spec=digest,
        source=source.fingerprint,
        cells=tuple(
            replace(cell, count=left, carried=cell.count - left)
            for cell in room.wanted
            for left in [room.left[cell.label, cell.origin]]
        ),
        shard_size=spec.shard_size,
        previous=base.number,
        first=base.plan.first + base.plan.planned,
        carried=tuple(sorted(parts, key=lambda part: part.whole)),
        tokens={
            label: token
            for label, token in tokens.items()
            if same and base.contents(label) == Counter(map(content, source.of(label)))
        },
    )
    return replace(plan, removed=had - plan.held)


def discard(store: Store, name: str, number: int) -> None:
    """Remove a version's objects, but those that others hold, too; and those it alone held of versions that are gone."""
    root = paths.version(name, number)
    others = [paths.version(name, int(each[1:])) for each in store.folders(f"datasets/{name}") if each[1:] != str(number)]
    held = {
        part.key
        for other in others
        if (plan := read_plan(store, other))
        for part in plan.carried
        if part.whole or not store.exists(paths.manifest(other))
    }
    plan = read_plan(store, root)
    alone = [
        part.key
        for part in (plan.carried if plan else ())
        if part.whole and not store.exists(paths.manifest(part.key.partition("/data/")[0]))
    ]
    manifest = paths.manifest(root)
    for key in [manifest, *(key for key in store.keys(root + "/") if key != manifest), *alone]:  # first it is no version
        if key not in held:
            store.delete(key)
