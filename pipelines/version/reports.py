"""The reports of a version's shards: what each counts, and what finalizing takes from it instead of from data files."""

from collections import Counter
from typing import Any

from pipelines.errors import StoreError
from pipelines.store import keys
from pipelines.store.object_store import Store
from pipelines.version.attempts import Attempts
from pipelines.version.contents import data_facts, revision
from pipelines.version.files import description, own_path, reported
from pipelines.version.plan import Carried, Plan

Report = dict[str, Any]
FACTS = frozenset({"files", "scores", "revision", "revisions", "thumbnails"})  # what finalizing takes beside the counts


def report(shard: Attempts) -> Report:
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


def carried_report(number: int, part: Carried) -> Report:
    """Counts of a shard that was carried from an earlier version: none of its samples was generated for this one."""
    return {
        **dict.fromkeys(("planned", "generated", "kept", "dropped"), 0),
        "shard": number,
        "carried": sum(part.labels.values()),
        "reasons": {},
        "labels": dict(sorted(part.labels.items())),
        "label_reasons": {},
    }


def reports(store: Store, root: str, plan: Plan) -> list[Report]:
    """Every shard's report. Raises StoreError when one is missing."""
    written = range(plan.written_shards)
    missing = [n for n in written if not store.exists(keys.report(root, n))]
    if missing:
        raise StoreError(f"{root}: {len(missing)} of {len(written)} shards have no report yet, the first is {missing[0]}")
    whole = [(number, part) for number, part in enumerate(plan.carried, plan.generated_shards) if part.whole]
    return [store.json(keys.report(root, n)) for n in written] + [whole_report(store, root, plan, *each) for each in whole]


def whole_report(store: Store, root: str, plan: Plan, number: int, part: Carried) -> Report:
    """Of a shard that is carried as it is: its counts, with the facts of the report by which its file was written."""
    counts, home = carried_report(number, part), part.key.partition("/data/")[0]
    for key in keys.reports_beside(part.key):
        if store.exists(key):
            origin = store.json(key)
            if origin.keys() >= FACTS and f"{home}/{origin['files']['data']['path']}" == part.key:
                entry = {**origin["files"]["data"], "path": own_path(root, plan, number, part.key), "key": part.key}
                return {**counts, **{name: origin[name] for name in FACTS}, "files": {"data": entry}}
    return counts


def completed(store: Store, root: str, plan: Plan, number: int, report: Report) -> Report:
    """A report with all its facts. Those that it lacks, being of an older release, are read from the shard's files: here
    alone finalizing opens any."""
    if report.keys() >= FACTS:
        return report
    places = reported(root, plan, number, report)
    data = {kind: store.get(key) for kind, key in places.items()}
    facts = data_facts(data["data"], number, plan.shards)
    entries: dict[str, dict[str, Any]] = {}
    for kind, key in places.items():
        entry = description(own_path(root, plan, number, key), data[kind])
        entries[kind] = entry if key.startswith(f"{root}/") else {**entry, "key": key}
    painter = facts["revision"] or (revision(data["rejected"]) if "rejected" in data else None)
    return {"files": entries, **facts, **report, "revision": painter}
