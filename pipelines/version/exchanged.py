"""The samples that a refreshed version has and the one before has not, and the other way round."""

from collections.abc import Iterator
from typing import Any

from pipelines.store.object_store import Store
from pipelines.version.browse import open_samples, rows, sample
from pipelines.version.files import stored
from pipelines.version.plan import Plan

FILES = 50  # data files that are read, at most


def added(store: Store, root: str, plan: Plan) -> Iterator[dict[str, Any]]:
    """The samples that were generated for a version, shard by shard."""
    for number in range(min(plan.generated_shards, FILES)):
        yield from samples(store, root, plan, number)


def removed(store: Store, root: str, plan: Plan, refreshed: Plan) -> Iterator[dict[str, Any]]:
    """The samples of a version that the plan of its refresh does not carry over, shard by shard."""
    carried = {part.key: part for part in refreshed.carried}
    read = 0
    for number in range(plan.shards):
        files = stored(store, root, plan, number)
        part = carried.get(files["data"]) if files else None
        if files is None or (part is not None and not part.without):
            continue
        if (read := read + 1) > FILES:
            return
        gone = None if part is None else set(part.without)
        yield from (row for row in samples(store, root, plan, number) if gone is None or row["index"] in gone)


def samples(store: Store, root: str, plan: Plan, number: int) -> list[dict[str, Any]]:
    """Those that a shard has kept; none while it is not done."""
    files = stored(store, root, plan, number)
    file = open_samples(store, files["data"]) if files else None
    return [] if file is None else [sample(row, "kept") for row in rows(file)]
