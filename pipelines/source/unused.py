"""What uploads have left behind: states of sources that were replaced, and images that no state holds any more."""

from collections.abc import Callable, Collection
from datetime import datetime

from pipelines.source.upload import newest
from pipelines.store import keys
from pipelines.store.object_store import Store
from pipelines.store.removal import Removed, remove_old


def remove_states(
    store: Store, used: Collection[tuple[str, str]], before: datetime, step: Callable[[], None] = lambda: None
) -> Removed:
    """Delete the states of sources that are neither the newest nor `used`, as (source, digest).

    A source whose newest state was put in place after `before` is left alone: a version of the state before it may just be
    created.
    """
    removed = Removed()
    for name in store.folders("sources"):
        pointer, digest = keys.newest(name), newest(store, name)
        if digest is not None and store.modified(pointer) >= before:
            continue
        needed = {digest, *(state for source, state in used if source == name)}

        def kept(key: str, pointer: str = pointer, needed: Collection[str | None] = needed) -> bool:
            return key == pointer or key.rpartition("/")[2].partition(".")[0] in needed

        removed += remove_old(store, f"sources/{name}/", before, kept, step)
    return removed


def held_blobs(store: Store) -> set[str]:
    """The SHA-256 of every image that a state of a source holds."""
    held: set[str] = set()
    for batch in store.scan("sources"):
        paths = [str(meta["path"]) for meta in batch]
        indexes = [path for path in paths if not path.endswith(("/newest.json", ".summary.json", ".inspection.json"))]
        for key in indexes:
            held.update(row["sha256"] for row in store.json(key)["items"])
    return held


def remove_blobs(store: Store, before: datetime, step: Callable[[], None] = lambda: None) -> Removed:
    """Delete the images that no state of a source holds."""
    step()
    held = held_blobs(store)
    return remove_old(store, "blobs", before, lambda key: key.rpartition("/")[2] in held, step)
