"""What lies beside a published version that was measured and evaluated, made of a few figures."""

from typing import Any

from pipelines.quality.measures import Beside, Guilty, Measure, section
from pipelines.quality.yields import yields
from pipelines.store import keys
from pipelines.store.canonical import canonical
from pipelines.store.object_store import Store

COUNTS = {"planned": 160, "generated": 320, "kept": 160, "dropped": 160, "carried": 0, "skipped": {},
          "reasons": {"quality: blurred": 160}}  # fmt: skip
REAL = "ab" * 32  # content of a training image
TRAIN = "train/boot/00003.png"


def quality(label: str, copies: float = 0.02) -> dict[str, Any]:
    """Two questions have findings: copies of a training image, and samples that repeat each other."""
    images = [Guilty("3-1", label, 0.1, "at 10.0 % of the distance of a copy", Beside("train", TRAIN, label))]
    repeats = [Guilty("5-1", label, 0.2, "near", Beside("sample", "7-1", label)), Guilty("9-1", label, 0.3, "near")]
    sections = {
        "unrealistic": section([Measure("probe_auc", "The probe tells nothing.", 0.52, 0.5, 0.7)], "They look real."),
        "unvaried": section([Measure("repeats", "2 of 160 samples repeat another.", 0.01, 0.0, 0.0, images=repeats)], ""),
        "unoriginal": section([Measure("copies", "1 sample repeats a real image.", copies, 0.0, 0.0, images=images)], ""),
        "unrepresentative": section([Measure("class_share", "All are there.", 1.0, None, 0.8, True)], "They are."),
    }
    images_of = {"samples": 160, "measured": 160, "train": 60, "held_out": 32}
    return {"format": 1, "clip": "builtin", "images": images_of, "sections": sections, "changes": None, "notes": [],
            "yield": yields(COUNTS, {"generate": 32.0})}  # fmt: skip


def spread(*values: float) -> dict[str, Any]:
    return {"mean": sum(values) / len(values), "std": 0.01, "values": list(values)}


def arm(classes: list[str], average: float) -> dict[str, Any]:
    """An arm that takes a fifth of the first class's images for the second."""
    first, second = classes
    groups = {f"{label} on {group}": spread(average, average) for label in classes for group in ("grass", "brick")}
    return {"average": spread(average, average), "worst_group": spread(average - 0.1, average - 0.1), "groups": groups,
            "classes": {label: spread(average, average) for label in classes},
            "confusion": {first: {first: 8, second: 2}, second: {second: 10}}}  # fmt: skip


def point(classes: list[str], share: float, average: float) -> dict[str, Any]:
    """Of the accuracy by amount."""
    images = round(160 * share)
    return {**arm(classes, average), "share": share, "images": images, "ratio": images / 40}


def write_report(
    store: Store, name: str, number: int, classes: list[str], average: float = 0.8, copies: float = 0.02
) -> None:
    """Quality report, evaluation and summary of a version, and the list of its real images."""
    root = keys.version(name, number)
    arms = {"erm": arm(classes, 0.7), "counterpoise": arm(classes, average)}
    evaluation = {
        "arms": arms,
        "gap_closed": None,
        "probe_auc": 0.6,
        "notes": [],
        "test_images": {},
        "amounts": {"real": 40, "points": [point(classes, *at) for at in ((0.0, 0.7), (0.5, average), (1.0, average))]},
    }
    summary = {"name": name, "version": number, **evaluation, "counts": COUNTS, "seconds": {"total": 40.0}}
    listing = {"train": [{"id": TRAIN, "sha256": REAL, "label": classes[0], "group": None}], "validation": [], "test": []}
    for key, document in (
        (keys.evaluation(root), evaluation),
        (keys.report_file(root, "summary.json"), summary),
        (keys.report_file(root, "quality_report.json"), quality(classes[0], copies)),
        (keys.source(root), listing),
        (keys.quality(root), {"mean_scores": {"quality.contrast": 0.0795}}),
    ):
        store.put(key, canonical(document))
