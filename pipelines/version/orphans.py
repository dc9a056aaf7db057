"""What lost writers have left in the folders of versions: workers that had lost their lease, or died."""

from collections.abc import Collection
from datetime import datetime

from pipelines.store import keys
from pipelines.store.object_store import Store
from pipelines.store.removal import Removed, remove_old
from pipelines.version.discard import held


def remove_unnamed(store: Store, root: str, before: datetime) -> Removed:
    """Delete what lies with a published version and is neither in its manifest nor written after that."""
    if not store.exists(keys.manifest(root)):
        return Removed()
    files = store.json(keys.manifest(root))["files"]
    named = {file.get("key", f"{root}/{file['path']}") for file in files} | {f"{root}/{file['path']}" for file in files}
    return remove_old(store, f"{root}/", before, lambda key: key in named or key.startswith(keys.after_manifest(root)))


def remove_gone(store: Store, name: str, last: int, numbers: Collection[int], before: datetime) -> Removed:
    """Delete what lies with versions of a dataset that are gone: those up to `last` that are not among `numbers`. What these
    carry stays. Later numbers are left alone: a database that was restored does not know them."""
    folders = [folder[1:] for folder in store.folders(f"datasets/{name}") if folder[1:].isdecimal()]
    gone = [number for number in map(int, folders) if number <= last and number not in numbers]
    roots = [keys.version(name, number) for number in gone]
    roots = [root for root in roots if next(store.scan(f"{root}/"), None)]  # a local folder outlives its files
    carried = held(store, name, numbers) if roots else set()
    removed = Removed()
    for root in roots:
        removed += remove_old(store, f"{root}/", before, lambda key: key in carried)
    return removed
