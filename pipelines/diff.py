"""A refreshed version against the one before it."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from pipelines import browse, paths
from pipelines.records import Item
from pipelines.refresh import Base, content, open_base
from pipelines.source.splits import SPLITS
from pipelines.store import Store, canonical

ARM = "counterpoise"


def accuracies(store: Store, root: str) -> dict[str, dict[str, float]] | None:
    """On average and of the worst group, by what was trained on; None if the version was not evaluated."""
    if not store.exists(paths.evaluation(root)):
        return None
    arms = store.json(paths.evaluation(root))["arms"]
    return {arm: {figure: found[figure]["mean"] for figure in ("average", "worst_group")} for arm, found in arms.items()}


def fall(store: Store, root: str, other: str) -> float:
    """How far the worst group's accuracy with a version lies below that with another; 0 where either is not known."""
    after, before = accuracies(store, root) or {}, accuracies(store, other) or {}
    return before[ARM]["worst_group"] - after[ARM]["worst_group"] if ARM in after and ARM in before else 0.0


def moved(before: Mapping[str, list[Item]], after: Mapping[str, list[Item]]) -> dict[str, int]:
    """How many images of a source are new, changed or gone. One that was only renamed is none of these."""
    was, now = ({(s, i.id): (s, content(i)) for s in SPLITS for i in splits[s]} for splits in (before, after))
    had, has = set(was.values()), set(now.values())
    fresh = {place for place, what in now.items() if what not in had}
    lost = {place for place, what in was.items() if what not in has}
    return {"new": len(fresh - lost), "changed": len(fresh & lost), "gone": len(lost - fresh)}


def state(base: Base) -> dict[str, Any]:
    """Training images and samples of a version by class and by group, and what it was worth."""
    real = [(item.label, item.group) for item in base.splits["train"]]
    made: Counter[tuple[str, str | None]] = Counter()
    for key in base.plan.files(base.root):
        if file := browse.opened(base.store, key):
            made.update((row["label"], row["group"]) for row in browse.rows(file))
    found: dict[str, Any] = {"evaluation": accuracies(base.store, base.root)}
    for place, kind in enumerate(("classes", "groups")):
        ours, theirs = (Counter(pair[place] for pair in pairs) for pairs in (real, made.elements()))
        names = sorted({name for name in (*ours, *theirs) if name is not None})
        found[kind] = {name: {"real": ours[name], "generated": theirs[name]} for name in names}
    return found


def compare(store: Store, name: str, number: int, previous: int) -> dict[str, Any]:
    """What a published version has that the one before it had not; kept as its diff.json."""
    after, before = open_base(store, name, number), open_base(store, name, previous)
    counts = store.json(paths.manifest(after.root))["counts"]
    found = {
        "version": number,
        "previous": previous,
        "source": moved(before.splits, after.splits),
        "samples": {"added": counts["kept"], "carried": counts["carried"], "removed": after.plan.removed},
        "before": state(before),
        "after": state(after),
    }
    store.create(paths.diff(after.root), canonical(found))
    return found
