"""The quality report of a published version: `report/quality_report.json`, made once."""

from collections.abc import Mapping
from typing import Any

from pipelines.errors import ModelError
from pipelines.learning.resources import Resources
from pipelines.quality.assess import assess
from pipelines.quality.comparison import Comparison
from pipelines.quality.features import features
from pipelines.quality.projection import publish_map
from pipelines.quality.read import SAMPLES, real_images, real_items, sample_rows, samples
from pipelines.quality.yields import changes, yields
from pipelines.spec.helpers import rendered
from pipelines.spec.models import BUILTIN
from pipelines.store import keys
from pipelines.store.canonical import canonical
from pipelines.version.plan import Plan

FILE = "quality_report.json"
FORMAT = 1
GARMENTS = (
    "CLIP is the bundled one, which knows small images of garments alone: what is said by embeddings is said by rough ones. "
    "Give models.clip a checkpoint such as openai/clip-vit-base-patch32."
)


def samples_of(counts: Mapping[str, Any]) -> int:
    return int(counts["kept"] + counts.get("carried", 0))


def compared(resources: Resources, plan: Plan, counts: Mapping[str, Any]) -> Comparison:
    """The version's samples and the source's images, in numbers."""
    train, held_out = real_items(resources)
    total = samples_of(counts)
    done = resources.stage("quality: images", len(train) + len(held_out) + min(total, SAMPLES))
    clip, prompts = resources.models.clip, list[str]()
    planned = dict(plan.per_class)
    for part in plan.carried:
        for label, count in part.labels.items():
            planned[label] = planned.get(label, 0) + count
    measured = features(samples(resources, sample_rows(resources, plan, total), prompts), clip, done)
    return Comparison(
        classes=resources.source.classes,
        measured=measured,
        train=features(real_images(resources, train), clip, done),
        held_out=features(real_images(resources, held_out), clip, done),
        planned=planned,
        present=counts["labels"],
        seed=resources.spec.seed,
        repainted=resources.spec.method.repaints_a_part,
        prompts=prompts,
        words={} if resources.spec.method.image_words else resources.spec.method.words,
    )


def previous_report(resources: Resources, plan: Plan) -> dict[str, Any] | None:
    """That of the version that this one refreshes; None where there is none."""
    if plan.previous is None:
        return None
    key = keys.report_file(keys.version(resources.spec.name, plan.previous), FILE)
    return dict(resources.store.json(key)) if resources.store.exists(key) else None


def make(resources: Resources, plan: Plan, counts: Mapping[str, Any], seconds: Mapping[str, float]) -> dict[str, Any]:
    """Measure, and put into words. Where CLIP cannot be loaded there are no sections, and a note says why."""
    notes = [] if rendered(resources.spec) or resources.spec.models.clip != BUILTIN else [GARMENTS]
    report: dict[str, Any] = {"format": FORMAT, "clip": resources.spec.models.clip, "yield": yields(counts, seconds)}
    try:
        comparison = compared(resources, plan, counts)
    except ModelError as error:
        return {**report, "images": {}, "sections": {}, "changes": None, "notes": [f"Not measured: {error}"]}
    report["images"] = {
        "samples": samples_of(counts),
        "measured": len(comparison.measured),
        "train": len(comparison.train),
        "held_out": len(comparison.held_out),
    }
    report["sections"] = assess(comparison, counts)
    publish_map(resources, plan, comparison, counts)
    before = previous_report(resources, plan)
    return {**report, "changes": changes(report, before) if before else None, "notes": notes}


def quality_report(
    resources: Resources, plan: Plan, counts: Mapping[str, Any], seconds: Mapping[str, float]
) -> dict[str, Any]:
    """The report that is in the store, or else a new one, put there. `counts` is the manifest's."""
    key = keys.report_file(resources.root, FILE)
    if not resources.store.exists(key):
        resources.store.put_first(key, canonical(make(resources, plan, counts, seconds)))
    return dict(resources.store.json(key))
