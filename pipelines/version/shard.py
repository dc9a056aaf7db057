"""One shard, from its planned images to its report. The file to read first.

    planned images -> method.requests -> engine -> filters -> keep | next attempt -> Parquet -> report, last

A shard is done when its report is in the store; until then it can be run again, and gives the same bytes. Of several workers
that were given the same shard one after another, the first report wins: it names that worker's files, and the others take
theirs away again.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from pipelines.engine.engine import Engine
from pipelines.engine.whole import PipelineEngine
from pipelines.filters import Panel
from pipelines.learning.resources import Resources
from pipelines.methods import Method
from pipelines.progress import unwatched, watched
from pipelines.store import keys
from pipelines.store.canonical import canonical
from pipelines.store.object_store import Store
from pipelines.version import rows
from pipelines.version.attempts import Outcome, run_attempts
from pipelines.version.files import Files, Kind, description, names
from pipelines.version.plan import Carried, Plan


def report(number: int, planned: int, outcome: Outcome) -> dict[str, Any]:
    """Counts of a shard that was generated. generated = kept + dropped; kept <= planned; nothing is carried."""
    reasons = Counter(sample.verdict.reason for sample in outcome.dropped)
    labels = Counter(sample.candidate.request.label for sample in outcome.kept)
    label_reasons: dict[str, Counter[str]] = {}
    for sample in outcome.dropped:
        label_reasons.setdefault(sample.candidate.request.label, Counter())[str(sample.verdict.reason)] += 1
    return {
        "shard": number,
        "planned": planned,
        "generated": len(outcome.kept) + len(outcome.dropped),
        "kept": len(outcome.kept),
        "dropped": len(outcome.dropped),
        "carried": 0,
        "reasons": dict(sorted((str(k), v) for k, v in reasons.items())),
        "labels": dict(sorted(labels.items())),
        "label_reasons": {label: dict(sorted(counts.items())) for label, counts in sorted(label_reasons.items())},
    }


def carried_report(number: int, part: Carried) -> dict[str, Any]:
    """Counts of a shard that was carried from an earlier version: none of its samples was generated for this one."""
    return {
        **report(number, 0, Outcome([], [])),
        "carried": sum(part.labels.values()),
        "labels": dict(sorted(part.labels.items())),
    }


def run_shard(
    resources: Resources, plan: Plan, number: int, method: Method, engine: Engine | PipelineEngine, panel: Panel
) -> dict[str, Any]:
    """Generate one shard, unless its report says that this was done; return the report."""
    store, root = resources.store, resources.root
    key = keys.report(root, number)
    if store.exists(key):
        return dict(store.json(key))
    planned = plan.shard(number)
    outcome = run_attempts(resources, method, engine, panel, planned)
    contents: dict[Kind, bytes] = {
        "data": rows.encode(outcome.kept, resources),
        "rejected": rows.encode(outcome.dropped, resources),
    }
    return publish(resources, plan, number, contents, report(number, len(planned), outcome))


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
