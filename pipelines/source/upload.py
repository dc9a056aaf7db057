"""Taking in the images of a client as one archive: checked one by one, kept by content, indexed.

What was sent is never trusted: not its paths, its sizes, nor that an image is one. A bad image is a Problem, left out.
"""

from collections import Counter
from collections.abc import Iterable
from functools import partial
from typing import Any

from pipelines.errors import SourceError
from pipelines.records import Problem
from pipelines.source.checks import Entries, Entry
from pipelines.source.collect import collect
from pipelines.source.examine import Examined, examine_one
from pipelines.source.index import Index, encoded
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
    contents = collect(bounded(entries, limits), partial(keep_all, store, allow_synthetic))
    problems = contents.problems
    if not any(contents.splits.values()):
        first = f": {problems[0].id}: {problems[0].reason}" if problems else ""
        raise SourceError(f"source: no usable image among {quantity(len(problems), 'file')}{first}")
    rows = [
        {
            **{name: getattr(item, name) for name in ("id", "sha256", "label", "group")},
            "split": split,
            "width": contents.pictures[item.sha256].facts.width,
            "height": contents.pictures[item.sha256].facts.height,
        }
        for split, items in contents.splits.items()
        for item in items
    ]
    index = {"name": name, "items": rows, "problems": [{"id": p.id, "reason": p.reason} for p in problems]}
    key = digest(index)
    store.create(keys.index(name, key), canonical(index))
    store.put(keys.summary(name, key), canonical(describe(index, key)))
    return key


def keep_all(store: Store, allow_synthetic: bool, entries: Entries) -> Examined:
    """Each entry as it was examined, in this process, whose memory is limited; what is usable is put into the store."""
    kept = set[str]()
    for entry in entries:
        result = entry if isinstance(entry, Problem) else examine_one(entry, allow_synthetic)
        if isinstance(entry, Entry) and not isinstance(result, Problem) and result.sha256 not in kept:
            kept.add(result.sha256)
            store.put(keys.blob(result.sha256), entry.data)
        yield result


def index_of(document: dict[str, Any]) -> Index:
    """A stored index; those of older releases lack the sizes of images."""
    rows = ({**row, "file": encoded(keys.blob(row["sha256"]))} for row in document["items"])
    return Index.of_rows(rows, [Problem(problem["id"], problem["reason"]) for problem in document["problems"]])


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
