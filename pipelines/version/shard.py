"""Shards: what their reports count, and how they are written.

A shard is done when its report is in the store; until then it can be generated again, and gives the same images: the same
bytes with the same shards beside it, and up to rounding with others. Of several workers that were given the same shard one
after another, the first report wins: it names that worker's files, and the others take theirs away again.
"""

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import Any

from pipelines.engine.background import Background, result
from pipelines.engine.engine import Engine
from pipelines.engine.whole import PipelineEngine
from pipelines.filters import Panel
from pipelines.filters.early import EarlyVerdicts
from pipelines.learning.resources import Resources
from pipelines.methods import Method
from pipelines.progress import unwatched, watched
from pipelines.store import keys
from pipelines.store.canonical import canonical
from pipelines.store.object_store import Store
from pipelines.version import rows
from pipelines.version.attempts import Attempts
from pipelines.version.files import Files, Kind, description, names
from pipelines.version.generation import generate
from pipelines.version.plan import Carried, Plan

WRITING = 2  # shards that are being written while others are generated


def report(shard: Attempts) -> dict[str, Any]:
    """Counts of a shard that was generated. generated = kept + dropped; kept <= planned; nothing is carried."""
    reasons = Counter(sample.verdict.reason for sample in shard.dropped)
    labels = Counter(sample.candidate.request.label for sample in shard.kept)
    label_reasons: dict[str, Counter[str]] = {}
    for sample in shard.dropped:
        label_reasons.setdefault(sample.candidate.request.label, Counter())[str(sample.verdict.reason)] += 1
    return {
        "shard": shard.number,
        "planned": len(shard.planned),
        "generated": len(shard.kept) + len(shard.dropped),
        "kept": len(shard.kept),
        "dropped": len(shard.dropped),
        "carried": 0,
        "reasons": dict(sorted((str(k), v) for k, v in reasons.items())),
        "labels": dict(sorted(labels.items())),
        "label_reasons": {label: dict(sorted(counts.items())) for label, counts in sorted(label_reasons.items())},
    }


def carried_report(number: int, part: Carried) -> dict[str, Any]:
    """Counts of a shard that was carried from an earlier version: none of its samples was generated for this one."""
    return {
        **dict.fromkeys(("planned", "generated", "kept", "dropped"), 0),
        "shard": number,
        "carried": sum(part.labels.values()),
        "reasons": {},
        "labels": dict(sorted(part.labels.items())),
        "label_reasons": {},
    }


def run_shards(
    resources: Resources,
    plan: Plan,
    numbers: Iterable[int],
    method: Method,
    engine: Engine | PipelineEngine,
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
    contents: dict[Kind, bytes] = {
        "data": rows.encode(shard.kept, resources),
        "rejected": rows.encode(shard.dropped, resources),
    }
    return publish(resources, plan, shard.number, contents, report(shard))


def rewrite_shard(resources: Resources, plan: Plan, number: int, part: Carried) -> dict[str, Any]:
    """Write a carried shard again without what is gone, unless its report says that this was done; return the report."""
    store, key = resources.store, keys.report(resources.root, number)
    if store.exists(key):
        return dict(store.json(key))
    remaining = rows.without(store.get(part.key), frozenset(part.without), resources.source.classes)
    return publish(resources, plan, number, {"data": remaining}, carried_report(number, part))


def publish(
    resources: Resources, plan: Plan, number: int, contents: Mapping[Kind, bytes], counts: dict[str, Any]
) -> dict[str, Any]:
    """Write a shard's files, and its report last; return the report that is in the store then.

    By a lease, the report names the files, with size and sha256. Whatever happens, files of this lease that the report in
    the store does not name are gone afterwards, unless the process is killed: then finalizing removes them.
    """
    store, root, fence = resources.store, resources.root, resources.fence
    key, files = keys.report(root, number), names(root, plan, number, fence)
    if fence is not None:
        entries = {kind: description(files[kind].removeprefix(f"{root}/"), data) for kind, data in contents.items()}
        counts = {**counts, "files": entries}
    try:
        for kind, data in contents.items():
            store.put(files[kind], data)
        store.put_first(key, canonical(counts))
    finally:
        if fence is not None:
            with watched(unwatched):  # the lease may be lost
                withdraw(store, key, files, counts)
    return dict(store.json(key))


def withdraw(store: Store, key: str, files: Files, report: Mapping[str, Any]) -> None:
    """Delete the files of a report, unless it is the one that is in the store."""
    if store.exists(key) and store.json(key).get("files") == report["files"]:
        return
    for file in files.values():
        store.delete(file)
