"""Shards: how they are generated and written.

A shard is done when its report is in the store; until then it can be generated again, and gives the same images: the same
bytes with the same shards beside it, and up to rounding with others. Of several workers that were given the same shard one
after another, the first report wins: it names that worker's files, and the others take theirs away again.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import Any

from pipelines.engine.background import Background, result
from pipelines.engine.open import AnyEngine
from pipelines.filters import Panel
from pipelines.filters.early import EarlyVerdicts
from pipelines.filters.fingerprints import StoredFingerprints
from pipelines.learning.resources import Resources
from pipelines.methods import Method
from pipelines.progress import unwatched, watched
from pipelines.store import keys
from pipelines.store.canonical import canonical
from pipelines.store.object_store import Store
from pipelines.version import rows
from pipelines.version.attempts import Attempts, index
from pipelines.version.contents import data_facts
from pipelines.version.files import KEYS, Files, Kind, description
from pipelines.version.generation import generate
from pipelines.version.plan import Carried, Plan
from pipelines.version.reports import carried_report, report

WRITING = 2  # shards that are being written while others are generated


def run_shards(
    resources: Resources,
    plan: Plan,
    numbers: Iterable[int],
    method: Method,
    engine: AnyEngine,
    panel: Panel,
) -> list[dict[str, Any]]:
    """Generate shards, but for those whose reports say that this was done; return the reports."""
    store, root = resources.store, resources.root
    every = list(numbers)
    missing = [number for number in every if not store.exists(keys.report(root, number))]
    most = resources.spec.max_attempts
    shards = (Attempts(number, plan.shard(number), most, panel.comparisons()) for number in missing)
    total = sum(len(plan.indices(number)) for number in missing)
    spec = resources.spec.early_verdict
    early = None if spec is None else EarlyVerdicts(resources, spec, panel)
    with Background("write") as writer:
        writing: deque[Future[dict[str, Any]]] = deque()
        for shard in generate(resources, method, engine, panel, shards, total, early):
            while len(writing) >= WRITING:
                result(writing.popleft())
            writing.append(writer.submit(write_shard, resources, plan, shard))
        for future in writing:
            result(future)
    return [dict(store.json(keys.report(root, number))) for number in every]


def write_shard(resources: Resources, plan: Plan, shard: Attempts) -> dict[str, Any]:
    """Write the files of a shard that was generated, and its report; return that."""
    shard.sort()
    data, rejected = rows.encode(shard.kept, resources), rows.encode(shard.dropped, resources)
    files: dict[Kind, bytes] = {"data": data, "rejected": rejected}
    prints = shard.comparisons.fingerprints({index(sample) for sample in shard.kept})
    if prints is not None:
        files["fingerprints"] = prints
    facts = {**data_facts(data, shard.number, plan.shards), "revision": resources.painter_revision}
    return publish(resources, plan, shard.number, files, {**report(shard), **facts})


def rewrite_shard(resources: Resources, plan: Plan, number: int, part: Carried) -> dict[str, Any]:
    """Write a carried shard again without what is gone, or what is restored of one, unless its report says that this was
    done; return the report. What is restored has no fingerprints: nothing drops again what people kept."""
    store, key = resources.store, keys.report(resources.root, number)
    if store.exists(key):
        return dict(store.json(key))
    remaining = rows.carried(store.get(part.key), part, resources.source.classes)
    files: dict[Kind, bytes] = {"data": remaining}
    prints = keys.fingerprints_beside(part.key)
    if not part.restored and store.exists(prints):
        files["fingerprints"] = StoredFingerprints.decode(store.get(prints)).without(part.without).encode()
    counts = {**carried_report(number, part), **data_facts(remaining, number, plan.shards)}
    return publish(resources, plan, number, files, counts)


def publish(
    resources: Resources,
    plan: Plan,
    number: int,
    contents: Mapping[Kind, bytes],
    counts: Mapping[str, Any],
    *,
    distinct: bool = False,
) -> dict[str, Any]:
    """Write a shard's files, and its report last, which names them with size and sha256; return the report that is in the
    store then. `distinct`: the later report, of a shard that is written again without what repeats an image of another.

    By a lease, whatever happens, files of this lease that the report in the store does not name are gone afterwards, unless
    the process is killed: then finalizing removes them.
    """
    store, root, fence = resources.store, resources.root, resources.fence
    key = keys.report(root, number, distinct)
    files: Files = {kind: KEYS[kind](root, number, plan.shards, fence, distinct) for kind in contents}
    entries = {kind: description(files[kind].removeprefix(f"{root}/"), data) for kind, data in contents.items()}
    report = {**counts, "files": entries}
    try:
        for kind, data in contents.items():
            store.put(files[kind], data)
        store.put_first(key, canonical(report))
    finally:
        if fence is not None:
            with watched(unwatched):  # the lease may be lost
                withdraw(store, key, files, report)
    return dict(store.json(key))


def withdraw(store: Store, key: str, files: Files, report: Mapping[str, Any]) -> None:
    """Delete the files of a report, unless it is the one that is in the store."""
    if store.exists(key) and store.json(key).get("files") == report["files"]:
        return
    for file in files.values():
        store.delete(file)
