"""A refreshed version against the one before it."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from pipelines.records import Item
from pipelines.source.splits import SPLITS
from pipelines.store import keys
from pipelines.store.canonical import canonical
from pipelines.store.object_store import Store
from pipelines.version import browse
from pipelines.version.refresh import Base, content, open_base


def accuracies(store: Store, root: str) -> dict[str, dict[str, float]] | None:
    """Average and worst-group accuracy by arm; None if the version was not evaluated."""
    if not store.exists(keys.evaluation(root)):
        return None
    arms = store.json(keys.evaluation(root))["arms"]
    return {arm: {name: figures[name]["mean"] for name in ("average", "worst_group")} for arm, figures in arms.items()}


def source_changes(before: Mapping[str, list[Item]], after: Mapping[str, list[Item]]) -> dict[str, int]:
    """How many images of a source are new, changed or gone. One that was only renamed is none of these."""
    old, new = ({(s, i.id): (s, content(i)) for s in SPLITS for i in splits[s]} for splits in (before, after))
    old_contents, new_contents = set(old.values()), set(new.values())
    fresh = {place for place, what in new.items() if what not in old_contents}
    lost = {place for place, what in old.items() if what not in new_contents}
    return {"new": len(fresh - lost), "changed": len(fresh & lost), "gone": len(lost - fresh)}


def composition(base: Base) -> dict[str, Any]:
    """Training images and samples of a version by class and by group, and its evaluation."""
    real = [(item.label, item.group) for item in base.splits["train"]]
    generated: Counter[tuple[str, str | None]] = Counter()
    for files in base.files:
        if file := browse.open_samples(base.store, files["data"]):
            generated.update((row["label"], row["group"]) for row in browse.rows(file))
    result: dict[str, Any] = {"evaluation": accuracies(base.store, base.root)}
    for place, kind in enumerate(("classes", "groups")):
        before, after = (Counter(pair[place] for pair in pairs) for pairs in (real, generated.elements()))
        names = sorted({name for name in (*before, *after) if name is not None})
        result[kind] = {name: {"real": before[name], "generated": after[name]} for name in names}
    return result


def compare(store: Store, name: str, number: int, previous: int) -> dict[str, Any]:
    """The diff of a published version against the one before it; stored as diff.json, where the first writer wins."""
    after, before = open_base(store, name, number), open_base(store, name, previous)
    counts = store.json(keys.manifest(after.root))["counts"]
    result = {
        "version": number,
        "previous": previous,
        "source": source_changes(before.splits, after.splits),
        "samples": {
            "added": counts["kept"],
            "carried": counts["carried"],
            "removed": after.plan.removed,
            "restored": after.plan.restored_samples,  # since people kept them: among those carried
        },
        "before": composition(before),
        "after": composition(after),
    }
    return dict(json.loads(store.put_first(keys.diff(after.root), canonical(result))))
