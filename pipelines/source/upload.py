"""Taking in the images of a client as one archive: checked one by one, kept by content, indexed.

What was sent is never trusted: not its paths, its sizes, nor that an image is one. A bad image is a Problem, left out.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from pipelines.errors import SourceError
from pipelines.records import Problem
from pipelines.source.checks import Entry
from pipelines.source.collect import collect
from pipelines.source.limits import Limits, bounded
from pipelines.spec.base import quantity
from pipelines.store import keys
from pipelines.store.canonical import canonical, digest
from pipelines.store.object_store import Store

REFUSED_LISTED = 1000  # refused images in a summary


def take_in(store: Store, name: str, entries: Iterable[Entry | Problem], limits: Limits, *, allow_synthetic: bool) -> str:
    """Keep every usable image, and index them as a state of source `name`; return its digest.

    Raises SourceError when a limit is passed or nothing usable was sent.
    """

    def keep(sha256: str, entry: Entry) -> None:
        store.put(keys.blob(sha256), entry.data)

    contents = collect(bounded(entries, limits), keep, allow_synthetic=allow_synthetic)
    problems = contents.problems
    if not any(contents.splits.values()):
        first = f": {problems[0].id}: {problems[0].reason}" if problems else ""
        raise SourceError(f"source: no usable image among {quantity(len(problems), 'file')}{first}")
    rows = [
        {"id": i.id, "sha256": i.sha256, "label": i.label, "group": i.group, "split": split}
        for split, items in contents.splits.items()
        for i in items
    ]
    index = {"name": name, "items": rows, "problems": [{"id": p.id, "reason": p.reason} for p in problems]}
    key = digest(index)
    store.create(keys.index(name, key), canonical(index))
    store.put(keys.summary(name, key), canonical(describe(index, key)))
    return key


def make_newest(store: Store, name: str, key: str) -> None:
    """From now on the source is in the state of this digest."""
    store.put(keys.newest(name), canonical({"digest": key}))


def describe(index: dict[str, Any], key: str) -> dict[str, Any]:
    """An index in numbers: images of each class, group and split, and what was refused first."""
    rows = index["items"]
    return {
        "name": index["name"],
        "digest": key,
        "images": len(rows),
        "classes": dict(sorted(Counter(row["label"] for row in rows).items())),
        "groups": dict(sorted(Counter(row["group"] for row in rows if row["group"]).items())),
        "splits": dict(Counter(row["split"] for row in rows)),
        "refused": index["problems"][:REFUSED_LISTED],
    }


def summary(store: Store, name: str, key: str) -> dict[str, Any]:
    """A state of a source in numbers; of one that was indexed by an older release, from its index."""
    place = keys.summary(name, key)
    return store.json(place) if store.exists(place) else describe(store.json(keys.index(name, key)), key)


def newest(store: Store, name: str) -> str | None:
    """The digest of the newest state of a source; None if there is no such source."""
    return str(store.json(keys.newest(name))["digest"]) if store.exists(keys.newest(name)) else None
