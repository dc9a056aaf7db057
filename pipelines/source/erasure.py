"""Erasing images of an uploaded source, or all of it, from everything that holds them by content.

What says which images these are goes last: an erasure that was killed in the middle is asked for again, and goes on.
"""

from collections.abc import Collection
from typing import Any

from pipelines.errors import SourceError
from pipelines.source.upload import describe, newest
from pipelines.store import keys
from pipelines.store.canonical import canonical, digest
from pipelines.store.object_store import Store


def states(store: Store, name: str) -> dict[str, list[dict[str, Any]]]:
    """The images (id, sha256, label, group, split) of every state of a source that is there, by its digest."""
    files = [key.rpartition("/")[2] for key in store.keys(f"sources/{name}")]
    digests = [file.removesuffix(".json") for file in files if file.count(".") == 1 and file != "newest.json"]
    return {state: store.json(keys.index(name, state))["items"] for state in digests}


def hashes(store: Store, name: str, ids: Collection[str]) -> set[str]:
    """The SHA-256 of the images of these ids in any state of a source. Raises SourceError for ids that none has."""
    rows = [row for items in states(store, name).values() for row in items]
    unknown = sorted(set(ids) - {row["id"] for row in rows})
    if unknown:
        raise SourceError(
            f"ids: no state of {name!r} has an image {unknown[0]!r}; GET /v1/sources/{name} is the newest state"
        )
    return {row["sha256"] for row in rows if row["id"] in ids}


def holders(store: Store, images: Collection[str]) -> list[str]:
    """The sources that hold any of these images, in whatever state."""
    return [
        name
        for name in store.folders("sources")
        if any(row["sha256"] in images for items in states(store, name).values() for row in items)
    ]


def held_by_others(store: Store, name: str) -> set[str]:
    """The SHA-256 of all images that other sources hold."""
    others = [other for other in store.folders("sources") if other != name]
    return {row["sha256"] for other in others for rows in states(store, other).values() for row in rows}


def publish_without(store: Store, name: str, images: Collection[str]) -> str:
    """Make a state without these images the newest of a source; return its digest. Raises SourceError when none is left."""
    key = newest(store, name)
    if key is None:
        raise SourceError(f"source: {name!r} was to be deleted, but for its last state; DELETE /v1/sources/{name} again")
    index = store.json(keys.index(name, key))
    rows = [row for row in index["items"] if row["sha256"] not in images]
    if not rows:
        raise SourceError(f"ids: these are all images of {name!r}; DELETE /v1/sources/{name} instead")
    if len(rows) < len(index["items"]):
        index = {**index, "items": rows}
        key = digest(index)
        store.put(keys.index(name, key), canonical(index))
        store.put(keys.summary(name, key), canonical(describe(index, key)))
        store.put(keys.newest(name), canonical({"digest": key}))
    return key


def drop_states(store: Store, name: str, images: Collection[str] | None) -> None:
    """Delete the states of a source that hold any of these images, or with None all, and what of their images no other state
    holds."""
    if images is None:
        store.delete(keys.newest(name))
    own = states(store, name)
    doomed = [state for state, rows in own.items() if images is None or any(row["sha256"] in images for row in rows)]
    gone = {row["sha256"] for state in doomed for row in own[state]}
    gone -= {row["sha256"] for state, rows in own.items() if state not in doomed for row in rows}
    store.delete_all([keys.blob(sha256) for sha256 in gone - held_by_others(store, name)])
    kinds = keys.index, keys.summary, keys.inspection
    store.delete_all([kind(name, state) for state in doomed for kind in kinds])
