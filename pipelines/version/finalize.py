"""Turning finished shards into a version: counts, quality, card, figures, and the manifest, last.

A version exists when its manifest is in the store; a manifest names only what is there. Of several workers that finalize,
the first to write an object wins, and sizes and hashes are those of what is in the store: one that was thought dead changes
nothing. No model is loaded, and no checkpoint has to be there.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any

from pipelines.errors import StoreError
from pipelines.learning.resources import Resources
from pipelines.records import Image, Problem
from pipelines.report.card import card
from pipelines.report.croissant import croissant
from pipelines.report.figures import LARGEST, contact_sheet, shrunk
from pipelines.source.decode import decode
from pipelines.store import keys
from pipelines.store.canonical import canonical
from pipelines.store.object_store import Store
from pipelines.version import rows
from pipelines.version.files import Files, data_entries, description, remove_unnamed, reported
from pipelines.version.plan import Plan
from pipelines.version.shard import carried_report

SHEET = 64  # images on the contact sheet


def reports(store: Store, root: str, plan: Plan) -> list[dict[str, Any]]:
    """Every shard's report. Raises StoreError when one is missing."""
    written = range(plan.written_shards)
    missing = [n for n in written if not store.exists(keys.report(root, n))]
    if missing:
        raise StoreError(f"{root}: {len(missing)} of {len(written)} shards have no report yet, the first is {missing[0]}")
    whole = [(number, part) for number, part in enumerate(plan.carried, plan.generated_shards) if part.whole]
    return [store.json(keys.report(root, n)) for n in written] + [carried_report(n, part) for n, part in whole]


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


def mean_scores(store: Store, files: Sequence[str]) -> dict[str, float]:
    """The mean of every score of the kept images, one file in memory at a time."""
    sums: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for key in files:
        for scores in rows.column(store, key, "scores"):
            values = json.loads(scores)
            sums.update(values)
            counts.update(values.keys())
    return {name: sums[name] / counts[name] for name in sorted(counts)}


def first_images(store: Store, files: Sequence[str], count: int) -> list[Image]:
    """Some kept images, from as few files as hold them, no larger than on a contact sheet."""
    images: list[Image] = []
    for key in files:
        if len(images) >= count:
            break
        for row in rows.read(store.get(key))[: count - len(images)]:
            images.append(shrunk(decode(row["image"], allow_synthetic=True), LARGEST))
    return images


def quality(counts: dict[str, Any], scores: dict[str, float], problems: Sequence[Problem]) -> dict[str, Any]:
    """Quality of the kept images without training on them: counts, mean scores, unusable source images."""
    return {
        "counts": counts,
        "kept_ratio": counts["kept"] / counts["generated"] if counts["generated"] else 0.0,
        "mean_scores": scores,
        "problems": [{"id": problem.id, "reason": problem.reason} for problem in problems],
    }


def other_entries(store: Store, root: str) -> list[dict[str, Any]]:
    """Every object of the version with its size and sha256, but data files and what is derived from the version later."""
    data = (f"{keys.data_folder(root)}/", f"{keys.rejected_folder(root)}/")
    listed = [key for key in store.keys(root) if not key.startswith((*data, *keys.after_manifest(root)))]
    return [description(key.removeprefix(f"{root}/"), store.get(key)) for key in listed]


def painter_revision(resources: Resources, shards: Sequence[Files]) -> str:
    """The revision of what generated the images, as the first of them says; without any, of the checkpoint's files here."""
    files = [file for shard in shards for file in shard.values()]
    revisions = (revision for key in files for revision in rows.column(resources.store, key, "revision") if revision)
    return next(revisions, None) or resources.painter_revision


def finalize(resources: Resources, plan: Plan) -> dict[str, Any]:
    """Publish the version; return its manifest. Published before, by whomever: the manifest that is there."""
    store, root, spec = resources.store, resources.root, resources.spec
    if not store.exists(keys.manifest(root)):
        shards, skipped, classes = reports(store, root, plan), skipped_images(store, root), resources.source.classes
        places = [reported(root, plan, number, report) for number, report in enumerate(shards)]
        files = [place["data"] for place in places]
        counts = {**totals(shards, skipped), "shortfall": shortfall(plan, shards)}
        summary = quality(counts, mean_scores(store, files), [*resources.source.problems, *skipped])
        store.put_first(keys.quality(root), canonical(summary))
        revision = painter_revision(resources, places)
        text = card(spec, counts, summary, classes, version=resources.number, revision=revision)
        store.put_first(keys.card(root), text.encode())
        if images := first_images(store, files, SHEET):
            store.put_first(keys.figure(root, "samples.png"), contact_sheet(images, columns=8))
        data = data_entries(store, root, plan, shards)
        remove_unnamed(store, root, data)
        store.put_first(keys.croissant(root), croissant(spec, classes, data, version=resources.number))
        facts = {
            "name": spec.name,
            "version": resources.number,
            "previous": plan.previous,
            "spec": plan.spec,
            "source": plan.source,
            "counts": counts,
            "files": sorted([*data, *other_entries(store, root)], key=itemgetter("path")),
        }
        store.put_first(keys.manifest(root), canonical(facts))
    return dict(store.json(keys.manifest(root)))
