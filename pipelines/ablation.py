"""What each part of spurious-feature removal is worth: the same job without it, on a built-in source with known truth."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pipelines import rows
from pipelines.builtin.oracle import Oracle
from pipelines.errors import SpecError
from pipelines.filters import FILTERS
from pipelines.methods import open_method
from pipelines.plan import make_plan, read_plan
from pipelines.progress import Progress
from pipelines.records import Candidate, Mask
from pipelines.run import run
from pipelines.source import decode
from pipelines.spec import AttributionFilter, FilterSpec, LabelAgreementFilter, SpuriousRemoval, VersionSpec
from pipelines.store import Store, canonical
from pipelines.vision.segmentation import open_segmenter
from pipelines.workbench import Workbench

SEGMENTERS = ("builtin", "cross-attention")
HEADS: dict[str, FilterSpec] = {
    "label_agreement": LabelAgreementFilter(type="label_agreement"),
    "label_agreement of the object": LabelAgreementFilter(type="label_agreement", view="object", min_target=0.5),
    "attribution": AttributionFilter(type="attribution"),
}
MASKS = 200  # images a segmenter is measured on


def method(**changes: Any) -> Callable[[VersionSpec], VersionSpec]:
    """A spec whose method has other settings."""
    return lambda spec: spec.model_copy(update={"method": spec.method.model_copy(update=changes)})


def without(*filters: str) -> Callable[[VersionSpec], VersionSpec]:
    """A spec without some filters."""
    return lambda spec: spec.model_copy(update={"filters": tuple(f for f in spec.filters if f.type not in filters)})


def evaluation(**changes: Any) -> Callable[[VersionSpec], VersionSpec]:
    """A spec whose evaluation has other settings."""
    return lambda spec: spec.model_copy(
        update={"evaluation": None if spec.evaluation is None else spec.evaluation.model_copy(update=changes)}
    )


def unmasked(spec: VersionSpec) -> VersionSpec:
    assert isinstance(spec.method, SpuriousRemoval)
    if spec.method.inversion is None:
        raise SpecError("method.inversion: an ablation starts from a spec that learns tokens")
    return method(inversion=spec.method.inversion.model_copy(update={"masked": False}))(spec)


VARIANTS: dict[str, Callable[[VersionSpec], VersionSpec]] = {
    "full": lambda spec: spec,
    "painted-objects": method(objects="painted"),
    "real-objects": method(objects="real"),
    "no-inversion": method(inversion=None),
    "unmasked-inversion": unmasked,
    "no-mask": method(region="whole", objects="painted"),
    "outline": method(region="mask"),
    "all-noise": method(strength=1.0),
    "no-prediction-head": without("label_agreement"),
    "no-attribution-head": without("attribution"),
    "no-pruning": without("label_agreement", "attribution"),
    "others-only": method(repaint_own=False),
    "no-reencoding": evaluation(reencode=0.0),
}


def wrong(oracle: Oracle, found: list[dict[str, Any]], classes: tuple[str, ...]) -> float | None:
    """The share of repainted images that the oracle does not take for what they are labelled as."""
    changed = [row for row in found if row["origin"] not in (None, classes[row["label"]])]
    if not changed:
        return None
    seen = oracle.garments([decode(row["image"], allow_synthetic=True) for row in changed], classes)
    return float(np.mean([name != classes[row["label"]] for name, row in zip(seen, changed, strict=True)]))


def iou(true: Mask, found: Mask | None) -> float:
    return 0.0 if found is None else float((true & found).sum() / (true | found).sum())


def overlaps(bench: Workbench, word: str) -> dict[str, float]:
    """Mean intersection over union with the true masks, by segmenter; an image without detection counts as 0."""
    source = bench.source
    if source.truth is None:
        raise SpecError("source: true masks are known of built-in sources only; choose one of those")
    items = source.splits["test"][:: max(1, len(source.splits["test"]) // MASKS)]
    images, true = bench.images(items), [source.truth(item) for item in items]
    scores = {}
    for name in SEGMENTERS:
        found = open_segmenter(name, bench.model, bench.spec.models.device).segment(images, word)
        scores[name] = float(np.mean([iou(t, f) for t, f in zip(true, found, strict=True)]))
    return scores


def measure(spec: VersionSpec, out: Path, progress: Progress, oracle: Oracle) -> dict[str, Any]:
    """Run one variant; say what came of it, and what the oracle thinks before and after pruning."""
    summary = run(spec, out, progress)
    bench = Workbench(spec, Store.open(out), progress)
    plan = read_plan(bench.store, bench.root)
    assert plan is not None
    kept, dropped = (rows.read_shards(bench.store, bench.root, plan, rejected=r) for r in (False, True))
    first = [row for row in kept + dropped if row["attempt"] == 0]
    classes = bench.source.classes
    return {
        "worst_group": summary["arms"]["counterpoise"]["worst_group"],
        "average": summary["arms"]["counterpoise"]["average"],
        "probe_auc": summary["probe_auc"],
        "kept": summary["counts"]["kept"],
        "generated": summary["counts"]["generated"],
        "oracle_wrong_before": wrong(oracle, first, classes),
        "oracle_wrong_after": wrong(oracle, kept, classes),
        "heads": heads(bench, first, oracle),
    }


def candidates(bench: Workbench, found: list[dict[str, Any]]) -> list[Candidate]:
    """Rows of the first attempt as they came from the engine, beside what was asked for."""
    plan, method = make_plan(bench.spec, "", "", bench.source.counts), open_method(bench)
    method.learn()
    asked = method.requests([plan.slot(row["index"]) for row in found], attempt=0)
    return [Candidate(r, decode(row["image"], allow_synthetic=True)) for r, row in zip(asked, found, strict=True)]


def heads(bench: Workbench, first: list[dict[str, Any]], oracle: Oracle) -> dict[str, dict[str, float]]:
    """How far each pruning head, asked alone about every image whose class was changed, agrees with the oracle.

    `kept`: the share it keeps; `right`: the share of those that the oracle takes for their label; `agreement`: the share
    of all on which head and oracle say the same.
    """
    classes = bench.source.classes
    made = candidates(bench, [row for row in first if row["origin"] not in (None, classes[row["label"]])])
    seen = oracle.garments([c.image for c in made], classes)
    right = np.array([name == c.request.label for name, c in zip(seen, made, strict=True)])
    found = {}
    for name, head in HEADS.items():
        kept = np.array([verdict.kept for verdict in FILTERS[head.type](bench, head).judge(made, [])])
        found[name] = {
            "kept": float(kept.mean()),
            "right": float(right[kept].mean()) if kept.any() else 0.0,
            "agreement": float((kept == right).mean()),
        }
    return found


def ablate(spec: VersionSpec, out: Path, variants: list[str], progress: Progress) -> dict[str, Any]:
    """Run the variants, sharing judges and tokens, and measure the segmenters; written to `out/ablation.json`."""
    if not isinstance(spec.method, SpuriousRemoval) or spec.evaluation is None:
        raise SpecError("method and evaluation: an ablation needs spurious_removal and an evaluation")
    unknown = [name for name in variants if name not in VARIANTS]
    if unknown:
        raise SpecError(f"variant {unknown[0]!r} does not exist; there are {', '.join(VARIANTS)}")
    oracle = Oracle()
    results = {}
    for name in variants:
        changed = VARIANTS[name](spec)
        assert changed.evaluation is not None
        alone = changed.evaluation.model_copy(update={"arms": ("counterpoise",)})
        named = changed.model_copy(update={"name": f"{spec.name}-{name}", "evaluation": alone})
        results[name] = measure(named, out, progress, oracle)
        progress.say(f"{name}: {results[name]}")
    bench = Workbench(spec, Store.open(out), progress)
    found = {"variants": results, "iou": overlaps(bench, spec.method.superclass)}
    (out / "ablation.json").write_bytes(canonical(found))
    return found
