"""Removing what is old and not needed, one listing at a time."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from pipelines.store.object_store import Store


@dataclass(frozen=True, slots=True)
class Removed:
    """What was removed: how many objects, and how many bytes they had."""

    objects: int = 0
    size: int = 0

    def __add__(self, other: "Removed") -> "Removed":
        return Removed(self.objects + other.objects, self.size + other.size)


def remove_old(
    store: Store, prefix: str, before: datetime, kept: Callable[[str], bool], step: Callable[[], None] = lambda: None
) -> Removed:
    """Delete the objects under a prefix that were last written before this time, but for those that are `kept` by key.

    `step` is called before each deletion, and may raise. Safe to run by several.
    """
    removed = Removed()
    for batch in store.scan(prefix):
        step()
        old = [meta for meta in batch if meta["last_modified"] < before and not kept(str(meta["path"]))]
        store.delete_all([str(meta["path"]) for meta in old])
        removed += Removed(len(old), sum(int(meta["size"]) for meta in old))
    return removed
