"""One shard, from its planned images to its report. The file to read first.

    planned images -> method.requests -> engine -> filters -> keep | next attempt -> Parquet -> report, last

A shard is done when its report is in the store; until then it can be run again, and gives the same bytes.
"""

from collections import Counter
from typing import Any

from pipelines.engine.engine import Engine
from pipelines.engine.whole import PipelineEngine
from pipelines.filters import Panel
from pipelines.learning.resources import Resources
from pipelines.methods import Method
from pipelines.store import keys
from pipelines.store.canonical import canonical
from pipelines.version import rows
from pipelines.version.attempts import Outcome, run_attempts
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
    store.put(plan.data_file(root, number), rows.encode(outcome.kept, resources))
    store.put(plan.rejected_files(root)[number], rows.encode(outcome.dropped, resources))
    counts = report(number, len(planned), outcome)
    store.create(key, canonical(counts))
    return counts


def rewrite_shard(resources: Resources, plan: Plan, number: int, part: Carried) -> dict[str, Any]:
    """Write a carried shard again without what is gone, unless its report says that this was done; return the report."""
    store, root = resources.store, resources.root
    key, counts = keys.report(root, number), carried_report(number, part)
    if not store.exists(key):
        remaining = rows.without(store.get(part.key), frozenset(part.without), resources.source.classes)
        store.put(plan.data_file(root, number), remaining)
        store.create(key, canonical(counts))
    return counts
