"""Removing a version from the store: at once, in steps, and again from the start after a crash in any of them.

Data files that other versions carry stay, with their reports and fingerprints, and go with the last of these.
"""

from collections.abc import Callable, Collection

from pipelines.store import keys
from pipelines.store.object_store import Store
from pipelines.version.plan import read_plan


def held(store: Store, name: str, numbers: Collection[int]) -> set[str]:
    """The data files that these versions of a dataset carry from others, and what lies beside them: by a version that is not
    published yet, also those that it is to write again."""
    result: set[str] = set()
    for root in (keys.version(name, number) for number in numbers):
        plan = read_plan(store, root)
        if plan and plan.carried:
            published = store.exists(keys.manifest(root))
            parts = [part.key for part in plan.carried if part.whole or not published]
            result |= {key for part in parts for key in (part, *keys.beside(part))}
    return result


def left_to(store: Store, root: str) -> list[str]:
    """The data files that a version carries from versions that are gone, and what lies beside them."""
    plan = read_plan(store, root)
    carried = [part.key for part in plan.carried if part.whole] if plan else []
    left = [key for key in carried if not store.exists(keys.manifest(key.partition("/data/")[0]))]
    return [key for data in left for key in (data, *keys.beside(data))]


def discard(
    store: Store,
    name: str,
    number: int,
    others: Callable[[], Collection[int]],
    step: Callable[[], None] = lambda: None,
) -> None:
    """Delete a version's objects, and what it alone carried of versions that are gone; but for what is carried by `others`.

    `others` gives the numbers of the versions that stay, once this one is no version any more: so of two that are removed
    at a time, each either stays for the other or is gone for it. `step` is called before each step, and may raise.
    """
    root = keys.version(name, number)
    step()
    store.delete(keys.manifest(root))
    kept = held(store, name, [other for other in others() if other != number])
    last = keys.plan(root)  # says what was carried, to whoever goes on after a crash
    store.delete_all([key for key in left_to(store, root) if key not in kept])
    for batch in store.scan(f"{root}/"):
        step()
        store.delete_all([str(meta["path"]) for meta in batch if meta["path"] not in kept and meta["path"] != last])
    step()
    store.delete(last)
