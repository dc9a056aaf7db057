"""The data files of a version's shards. A shard's report names them: several workers may have written one shard, and the
first report is the one that counts. Of a shard that was written again, without what repeats an image of another shard, there
is a later report.

A worker of a service writes under names of its own, with its lease's fence, so that one that was taken for dead overwrites
nothing of its heir's. A report without names is of an older release: the names then follow from the plan.
"""

import hashlib
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, Literal

from pipelines.errors import StoreError
from pipelines.store import keys
from pipelines.store.object_store import Store
from pipelines.version.plan import Plan

Kind = Literal["data", "rejected", "fingerprints"]
# Keys of a shard's samples; where it was generated, of its dropped candidates; where samples are compared with each other,
# of what they are compared by.
Files = dict[Kind, str]
FOLDERS = (keys.data_folder, keys.rejected_folder, keys.fingerprints_folder)
KEYS = {"data": keys.data, "rejected": keys.rejected, "fingerprints": keys.fingerprints}


def plain_names(root: str, plan: Plan, number: int) -> Files:
    """Where a shard lies whose report does not say. One that is carried whole lies where it lay."""
    part = plan.carried_part(number)
    if part is not None and part.whole:
        return {"data": part.key}
    data: Files = {"data": keys.data(root, number, plan.shards)}
    return data if part else {**data, "rejected": keys.rejected(root, number, plan.shards)}


def reported(root: str, plan: Plan, number: int, report: Mapping[str, Any]) -> Files:
    """Where a shard lies, by its report."""
    if "files" not in report:
        return plain_names(root, plan, number)
    return {kind: file.get("key", f"{root}/{file['path']}") for kind, file in report["files"].items()}


def current_report(store: Store, root: str, number: int) -> dict[str, Any] | None:
    """The report of a shard that counts; None while it is not done."""
    first, later = keys.report(root, number), keys.report(root, number, distinct=True)
    if not store.exists(first):
        return None
    report: dict[str, Any] = store.json(first)
    compared = "fingerprints" in report.get("files", {})
    return store.json(later) if compared and store.exists(later) else report


def stored(store: Store, root: str, plan: Plan, number: int) -> Files | None:
    """Where a shard lies; None while it is not done."""
    part = plan.carried_part(number)
    if part is not None and part.whole:
        return plain_names(root, plan, number)
    report = current_report(store, root, number)
    return None if report is None else reported(root, plan, number, report)


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


def entries(reports: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The files that the reports name, as the manifest has them, by their path. One that lies with an earlier version has
    its `key`, too."""
    return sorted((file for report in reports for file in report["files"].values()), key=itemgetter("path"))


def remove_unnamed(store: Store, root: str, entries: Sequence[Mapping[str, Any]]) -> None:
    """Delete shards' files that no report names: of workers that were slower than others, or killed, and of shards that
    were written again. To be called when all reports are there: then none of those will ever be named."""
    named = {f"{root}/{entry['path']}" for entry in entries}
    for folder in FOLDERS:
        for key in sorted(set(store.keys(folder(root))) - named):
            store.delete(key)
