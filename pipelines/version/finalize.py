"""Turning finished shards into a version: counts, quality, card, figures, and the manifest, last.

A version exists when its manifest is in the store; a manifest names only what is there. Of several workers that finalize,
the first to write an object wins, and sizes and hashes are those of what is in the store: one that was thought dead changes
nothing. It works from the shards' reports: no image is opened, no model is loaded, no checkpoint has to be there; no data
file is read, but those of shards that repeat others (`duplicates.py`), and of older releases (`reports.py`).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from math import fsum
from operator import itemgetter
from typing import Any

from pipelines.learning.resources import Resources
from pipelines.records import Problem
from pipelines.report.card import card
from pipelines.report.croissant import croissant
from pipelines.report.figures import contact_sheet
from pipelines.store import keys
from pipelines.store.canonical import canonical
from pipelines.store.object_store import Store
from pipelines.version.contents import sheet
from pipelines.version.duplicates import distinct_reports
from pipelines.version.files import FOLDERS, description, entries, remove_unnamed
from pipelines.version.plan import Plan
from pipelines.version.reports import Report, completed, reports


def skipped_images(store: Store, root: str) -> list[Problem]:
    """What the learn stage skipped; nothing where there was none, since all was carried."""
    key = keys.skipped(root)
    return [Problem(**problem) for problem in store.json(key)] if store.exists(key) else []


def merged(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for part in counts:
        total.update(part)
    return dict(sorted(total.items()))


def totals(reports: Sequence[dict[str, Any]], skipped: Sequence[Problem]) -> dict[str, Any]:
    """Counts of a version: the sums of its shards' reports."""
    sums = {key: sum(report[key] for report in reports) for key in ("planned", "generated", "kept", "dropped", "carried")}
    return {
        **sums,
        "reasons": merged(report["reasons"] for report in reports),
        "labels": merged(report["labels"] for report in reports),
        "skipped": dict(sorted(Counter(problem.reason for problem in skipped).items())),
    }


def shortfall(plan: Plan, reports: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of each class that falls short: images planned and kept, and candidates dropped by filter, where the reports say."""
    planned: Counter[str] = Counter()
    for quota in plan.quotas:
        planned[quota.label] += quota.count
    kept = merged(report["labels"] for report in reports if not report["carried"])
    dropped: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for report in reports:
        for label, reasons in report.get("label_reasons", {}).items():  # reports of before it was counted have none
            for reason, count in reasons.items():
                dropped[label][reason.partition(":")[0]] += count
    return {
        label: {"planned": count, "kept": kept.get(label, 0), "dropped": dict(sorted(dropped[label].items()))}
        for label, count in sorted(planned.items())
        if kept.get(label, 0) < count
    }


def mean_scores(reports: Sequence[Report]) -> dict[str, float]:
    """The mean of every score of the kept images."""
    sums: defaultdict[str, list[float]] = defaultdict(list)
    counts: Counter[str] = Counter()
    for report in reports:
        for name, (total, count) in report["scores"].items():
            sums[name].append(total)
            counts[name] += count
    return {name: fsum(sums[name]) / counts[name] for name in sorted(counts)}


def quality(counts: dict[str, Any], scores: dict[str, float], problems: Sequence[Problem]) -> dict[str, Any]:
    """Quality of the kept images without training on them: counts, mean scores, unusable source images."""
    return {
        "counts": counts,
        "kept_ratio": counts["kept"] / counts["generated"] if counts["generated"] else 0.0,
        "mean_scores": scores,
        "problems": [{"id": problem.id, "reason": problem.reason} for problem in problems],
    }


def other_entries(store: Store, root: str) -> list[dict[str, Any]]:
    """Every object of the version with its size and sha256, but shards' files and what is derived from the version later."""
    shards = tuple(f"{folder(root)}/" for folder in FOLDERS)
    listed = [key for key in store.keys(root) if not key.startswith((*shards, *keys.after_manifest(root)))]
    return [description(key.removeprefix(f"{root}/"), store.get(key)) for key in listed]


def revisions(resources: Resources, reports: Sequence[Report]) -> list[str]:
    """Of the checkpoints that generate: as the first shard says that has images of one; without any, of its files here."""
    models, known = resources.spec.models, dict[str, str]()
    for report in reversed(reports):
        known |= report["revisions"]
    if not models.further:
        return [next((report["revision"] for report in reports if report["revision"]), None) or resources.painter_revision]
    return [known.get(name) or resources.generator(number)[1] for number, name in enumerate(models.generators.values())]


def finalize(resources: Resources, plan: Plan) -> dict[str, Any]:
    """Publish the version; return its manifest. Published before, by whomever: the manifest that is there."""
    store, root, spec = resources.store, resources.root, resources.spec
    if not store.exists(keys.manifest(root)):
        distinct = distinct_reports(resources, plan, reports(store, root, plan))
        shards = [completed(store, root, plan, number, report) for number, report in enumerate(distinct)]
        skipped, classes = skipped_images(store, root), resources.source.classes
        counts = {**totals(shards, skipped), "shortfall": shortfall(plan, shards)}
        summary = quality(counts, mean_scores(shards), [*resources.source.problems, *skipped])
        store.put_first(keys.quality(root), canonical(summary))
        text = card(spec, counts, summary, classes, version=resources.number, revisions=revisions(resources, shards))
        store.put_first(keys.card(root), text.encode())
        if images := sheet(shards):
            store.put_first(keys.figure(root, "samples.png"), contact_sheet(images, columns=8))
        files = entries(shards)
        remove_unnamed(store, root, files)
        tables = [file for file in files if file["path"].endswith(".parquet")]
        store.put_first(keys.croissant(root), croissant(spec, classes, tables, version=resources.number))
        facts = {
            "name": spec.name,
            "version": resources.number,
            "previous": plan.previous,
            "spec": plan.spec,
            "source": plan.source,
            "counts": counts,
            "files": sorted([*files, *other_entries(store, root)], key=itemgetter("path")),
        }
        store.put_first(keys.manifest(root), canonical(facts))
    return dict(store.json(keys.manifest(root)))
