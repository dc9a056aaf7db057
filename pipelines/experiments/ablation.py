"""What each part of spurious-feature removal is worth: the same job without it, on a built-in source with known truth."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu

from pipelines.builtin.oracle import Oracle
from pipelines.errors import SpecError
from pipelines.experiments.same_images import begin_with_images
from pipelines.filters import FILTERS
from pipelines.learning.resources import Resources
from pipelines.methods import open_method
from pipelines.progress import Progress
from pipelines.records import Candidate, Mask
from pipelines.run import run
from pipelines.source.decode import decode
from pipelines.spec import AttributionFilter, FilterSpec, LabelAgreementFilter, SpuriousRemoval, VersionSpec
from pipelines.spec.arms import VERSION
from pipelines.store.canonical import canonical
from pipelines.store.object_store import Store
from pipelines.version import rows
from pipelines.version.plan import make_plan, read_plan
from pipelines.vision.models import Models
from pipelines.vision.object_masks import Words, word_of
from pipelines.vision.source_view import SourceView

SEGMENTERS = ("builtin", "cross-attention")
HEADS: dict[str, FilterSpec] = {
    "label_agreement": LabelAgreementFilter(type="label_agreement"),
    "label_agreement of the object": LabelAgreementFilter(type="label_agreement", view="object", min_target=0.5),
    "attribution": AttributionFilter(type="attribution"),
    "attribution by Grad-CAM": AttributionFilter(type="attribution", saliency="grad_cam"),
    "attribution by SmoothGrad": AttributionFilter(type="attribution", saliency="smoothgrad"),
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


def oracle_wrong(oracle: Oracle, samples: list[dict[str, Any]], classes: tuple[str, ...]) -> float | None:
    """The share of repainted images that the oracle does not take for what they are labelled as."""
    changed = [row for row in samples if row["origin"] not in (None, classes[row["label"]])]
    if not changed:
        return None
    predicted = oracle.garments([decode(row["image"], allow_synthetic=True) for row in changed], classes)
    return float(np.mean([name != classes[row["label"]] for name, row in zip(predicted, changed, strict=True)]))


def iou(truth: Mask, mask: Mask | None) -> float:
    """Intersection over union; 0 without a detection."""
    return 0.0 if mask is None else float((truth & mask).sum() / (truth | mask).sum())


def mean_iou(resources: Resources, words: Words) -> dict[str, float]:
    """Mean intersection over union with the true masks, by segmenter."""
    source = resources.source
    if source.truth is None:
        raise SpecError("source: true masks are known of built-in sources only; choose one of those")
    items = source.splits["test"][:: max(1, len(source.splits["test"]) // MASKS)]
    images, truths = resources.view.images(items), [source.truth(item) for item in items]
    scores = {}
    for name in SEGMENTERS:
        models = Models(resources.spec.models.model_copy(update={"segmenter": name}))
        models.text_to_image = resources.models.text_to_image
        masks = SourceView(source, models).segment_each(images, [word_of(words, item.label) for item in items])
        scores[name] = float(np.mean([iou(truth, mask) for truth, mask in zip(truths, masks, strict=True)]))
    return scores


def measure(spec: VersionSpec, out: Path, progress: Progress, oracle: Oracle) -> tuple[dict[str, Any], int]:
    """Run one variant: its accuracy, and the oracle's error before and after pruning; and the version's number."""
    summary = run(spec, out, progress)
    resources = Resources(spec, Store.open(out), progress)
    plan = read_plan(resources.store, resources.root)
    assert plan is not None
    kept, dropped = (rows.read_shards(resources.store, resources.root, plan, rejected=r) for r in (False, True))
    first = [row for row in kept + dropped if row["attempt"] == 0]
    classes = resources.source.classes
    figures = {
        "worst_group": summary["arms"][VERSION]["worst_group"],
        "average": summary["arms"][VERSION]["average"],
        "probe_auc": summary["probe_auc"],
        "kept": summary["counts"]["kept"],
        "generated": summary["counts"]["generated"],
        "oracle_wrong_before": oracle_wrong(oracle, first, classes),
        "oracle_wrong_after": oracle_wrong(oracle, kept, classes),
        "heads": heads(resources, first, oracle),
    }
    return figures, summary["version"]


def candidates(resources: Resources, samples: list[dict[str, Any]]) -> list[Candidate]:
    """Rows of the first attempt as candidates, with the requests that they came from."""
    plan, method = make_plan(resources.spec, "", "", resources.source.counts), open_method(resources)
    method.learn()
    requests = method.requests([plan.image(row["index"]) for row in samples], attempt=0)
    return [Candidate(r, decode(row["image"], allow_synthetic=True)) for r, row in zip(requests, samples, strict=True)]


def auc(right: NDArray[np.float64], wrong: NDArray[np.float64]) -> float:
    """Area under the ROC curve; a half where there is nothing to compare."""
    pairs = len(right) * len(wrong)
    return float(mannwhitneyu(right, wrong).statistic / pairs) if pairs else 0.5


def heads(resources: Resources, first: list[dict[str, Any]], oracle: Oracle) -> dict[str, dict[str, float]]:
    """How far each pruning head, applied alone to every image whose class was changed, agrees with the oracle.

    `kept`: the share it keeps; `right`: the share of those that the oracle takes for their label; `agreement`: the share
    of all on which head and oracle agree; `auc`: how often its score is higher of one that is right than of one that is not.
    """
    classes = resources.source.classes
    repainted = candidates(resources, [row for row in first if row["origin"] not in (None, classes[row["label"]])])
    predicted = oracle.garments([c.image for c in repainted], classes)
    right = np.array([name == c.request.label for name, c in zip(predicted, repainted, strict=True)])
    result = {}
    for name, head in HEADS.items():
        verdicts = FILTERS[head.type](resources, head).judge(repainted)
        kept = np.array([verdict.kept for verdict in verdicts])
        scores = np.array([verdict.scores["target"] for verdict in verdicts])
        result[name] = {
            "kept": float(kept.mean()),
            "right": float(right[kept].mean()) if kept.any() else 0.0,
            "agreement": float((kept == right).mean()),
            "auc": auc(scores[right], scores[~right]),
        }
    return result


def ablate(spec: VersionSpec, out: Path, variants: list[str], progress: Progress) -> dict[str, Any]:
    """Run the variants, sharing judges and tokens, and measure the segmenters; written to `out/ablation.json`."""
    if not isinstance(spec.method, SpuriousRemoval) or spec.evaluation is None:
        raise SpecError("method and evaluation: an ablation needs spurious_removal and an evaluation")
    unknown = [name for name in variants if name not in VARIANTS]
    if unknown:
        raise SpecError(f"variant {unknown[0]!r} does not exist; there are {', '.join(VARIANTS)}")
    oracle, store = Oracle(), Store.open(out)
    results, made = {}, list[tuple[VersionSpec, int]]()
    for name in variants:
        changed = VARIANTS[name](spec)
        assert changed.evaluation is not None
        alone = changed.evaluation.model_copy(update={"arms": (VERSION,)})
        variant = changed.model_copy(update={"name": f"{spec.name}-{name}", "evaluation": alone})
        begin_with_images(store, variant, made)
        results[name], number = measure(variant, out, progress, oracle)
        made.append((variant, number))
        progress.say(f"{name}: {results[name]}")
    resources = Resources(spec, store, progress)
    report = {"variants": results, "iou": mean_iou(resources, spec.method.superclass)}
    (out / "ablation.json").write_bytes(canonical(report))
    return report
