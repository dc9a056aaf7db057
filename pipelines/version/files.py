"""The data files of a version's shards. A shard's report names them: several workers may have written one shard, and the
first report is the one that counts.

A worker of a service writes under names of its own, with its lease's fence, so that one that was taken for dead overwrites
nothing of its heir's. A report without names is of a process that had no lease, or of an older release: the names then
follow from the plan.
"""

import hashlib
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, Literal

from pipelines.errors import StoreError
from pipelines.store import keys
from pipelines.store.object_store import Store
from pipelines.version.plan import Plan

Kind = Literal["data", "rejected"]
Files = dict[Kind, str]  # keys of a shard's samples and, where it was generated, of its dropped candidates


def names(root: str, plan: Plan, number: int, fence: int | None = None) -> Files:
    """Where a shard is to be written: plainly, or by the lease of a fence. One that is carried whole lies where it lay."""
    part = plan.carried_part(number)
    if part is not None and part.whole:
        return {"data": part.key}
    data: Files = {"data": keys.data(root, number, plan.shards, fence)}
    return data if part else {**data, "rejected": keys.rejected(root, number, plan.shards, fence)}


def reported(root: str, plan: Plan, number: int, report: Mapping[str, Any]) -> Files:
    """Where a shard lies, by its report."""
    if "files" not in report:
        return names(root, plan, number)
    return {kind: f"{root}/{file['path']}" for kind, file in report["files"].items()}


def stored(store: Store, root: str, plan: Plan, number: int) -> Files | None:
    """Where a shard lies; None while it is not done."""
    part, key = plan.carried_part(number), keys.report(root, number)
    if part is not None and part.whole:
        return names(root, plan, number)
    return reported(root, plan, number, store.json(key)) if store.exists(key) else None


def all_stored(store: Store, root: str, plan: Plan) -> list[Files]:
    """Where the shards of a version lie, in their order. Raises StoreError when one is not done."""
    every = [files for number in range(plan.shards) if (files := stored(store, root, plan, number))]
    if len(every) < plan.shards:
        raise StoreError(f"{root}: only {len(every)} of {plan.shards} shards are done; wait for the others")
    return every


def description(path: str, data: bytes) -> dict[str, Any]:
    """A file as reports and manifest have it."""
    return {"path": path, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def own_path(root: str, plan: Plan, number: int, key: str) -> str:
    """The path of a shard's file in its version; of one that lies with an earlier version, where it belongs in this one."""
    return (key if key.startswith(f"{root}/") else keys.data(root, number, plan.shards)).removeprefix(f"{root}/")


def data_entries(store: Store, root: str, plan: Plan, reports: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The data files that the reports name, as the manifest has them, by their path. Size and sha256 are the report's, or of
    what is in the store. A file that lies with an earlier version has its `key`, too."""
    entries: list[dict[str, Any]] = []
    for number, report in enumerate(reports):
        entries += report.get("files", {}).values()
        for key in () if "files" in report else reported(root, plan, number, report).values():
            entry = description(own_path(root, plan, number, key), store.get(key))
            entries.append(entry if key.startswith(f"{root}/") else {**entry, "key": key})
    return sorted(entries, key=itemgetter("path"))


def remove_unnamed(store: Store, root: str, entries: Sequence[Mapping[str, Any]]) -> None:
    """Delete data files that no report names: of workers that were slower than others, or killed. To be called when all
    reports are there: then none of those will ever be named."""
    named = {f"{root}/{entry['path']}" for entry in entries}
    for folder in (keys.data_folder(root), keys.rejected_folder(root)):
        for key in set(store.keys(folder)) - named:
            store.delete(key)
