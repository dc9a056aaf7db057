"""Taking in somebody's images as one archive: checked one by one, kept by content, indexed.

What was sent is never trusted: not its paths, its sizes, nor that an image is one. A bad image is a Problem, left out.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pipelines import paths
from pipelines.errors import SourceError
from pipelines.records import Item, Problem
from pipelines.source.archives import Stream
from pipelines.source.intake import Sent, collect
from pipelines.store import Store, canonical, digest


@dataclass(frozen=True, slots=True)
class Limits:
    unpacked: int  # bytes of all images together
    images: int


def bounded(sent: Iterable[Sent | Problem], limits: Limits) -> Stream:
    """The same, until a limit is passed. Raises SourceError."""
    size = 0
    for count, each in enumerate(sent, start=1):
        size += 0 if isinstance(each, Problem) else len(each.data)
        if size > limits.unpacked:
            raise SourceError(f"source: more than {limits.unpacked} bytes unpacked; send fewer or smaller images")
        if count > limits.images:
            raise SourceError(f"source: more than {limits.images} files; send fewer")
        yield each


def take_in(
    store: Store, name: str, sent: Iterable[Sent | Problem], limits: Limits, *, allow_synthetic: bool
) -> dict[str, Any]:
    """Keep every usable image and make them the newest state of source `name`; return its index.

    Raises SourceError when a limit is passed or nothing usable was sent; then the source stays as it was.
    """

    def keep(item: Item, each: Sent) -> None:
        store.put(paths.blob(item.sha256), each.data)

    found = collect(bounded(sent, limits), keep, allow_synthetic=allow_synthetic)
    problems = found.problems
    if not any(found.splits.values()):
        said = f": {problems[0].id}: {problems[0].reason}" if problems else ""
        raise SourceError(f"source: no usable image among {len(problems)} files{said}")
    rows = [
        {"id": i.id, "sha256": i.sha256, "label": i.label, "group": i.group, "split": split}
        for split, items in found.splits.items()
        for i in items
    ]
    index = {"name": name, "items": rows, "problems": [{"id": p.id, "reason": p.reason} for p in problems]}
    key = digest(index)
    store.create(paths.index(name, key), canonical(index))
    store.put(paths.newest(name), canonical({"digest": key}))
    return described(index, key)


def described(index: dict[str, Any], key: str) -> dict[str, Any]:
    """What was understood of a source: how many images of which class, group and split, and what was refused."""
    rows = index["items"]
    return {
        "name": index["name"],
        "digest": key,
        "images": len(rows),
        "classes": dict(sorted(Counter(row["label"] for row in rows).items())),
        "groups": dict(sorted(Counter(row["group"] for row in rows if row["group"]).items())),
        "splits": dict(Counter(row["split"] for row in rows)),
        "refused": index["problems"],
    }


def newest(store: Store, name: str) -> str | None:
    """The digest of the newest state of a source; None if there is no such source."""
    return str(store.json(paths.newest(name))["digest"]) if store.exists(paths.newest(name)) else None
