"""How many generated images are enough: one sentence of advice, by the accuracy with nested shares of a version."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.report.harm import FEWEST, deviation, harms, image_counts, is_below, share
from pipelines.report.worst import worst_part

METRICS = ("worst_group", "average")
CLASSES = 20  # in the table, those that change most
Point = Mapping[str, Any]  # share, images, ratio, and accuracies with so many


def points(evaluation: Mapping[str, Any]) -> list[Point]:
    """Accuracy by amount, from real images alone to the whole version; none where that was not measured."""
    return list((evaluation.get("amounts") or {}).get("points", ()))


def sufficient(curve: Sequence[Point], metric: str, count: int) -> Point:
    """The smallest amount whose accuracy is within the spread of the best, or within an image of so many (0: not known)."""
    best = max(curve, key=lambda point: point[metric]["mean"])[metric]
    tolerance = max(deviation(best, count), FEWEST / count if count else 0.0)
    return next(point for point in curve if point[metric]["mean"] >= best["mean"] - tolerance)


def advice(evaluation: Mapping[str, Any]) -> dict[str, Any] | None:
    """`text`, a sentence, and `enough`: by metric the number of generated images from which more does nothing. None where
    accuracy was not measured by amount, or no image was kept."""
    curve, counts = points(evaluation), image_counts(evaluation)
    if not curve or not curve[-1]["images"]:
        return None
    enough = {metric: sufficient(curve, metric, counts[metric]) for metric in METRICS}
    metric = max(METRICS, key=lambda metric: enough[metric]["images"])  # of two alike, the worst group
    name = f"{'average' if metric == 'average' else worst_part(evaluation['arms']).replace(' ', '-')} accuracy"
    text = sentence(curve, enough[metric], metric, name, counts)
    harmed = harms(evaluation)
    if any(not harm.name.startswith("class ") for harm in harmed):
        text = remedy(curve, enough[metric], counts)
    elif harmed:
        text += f" But they harm {harmed[0].text}."
    return {"text": text, "enough": {metric: point["images"] for metric, point in enough.items()}}


def sentence(curve: Sequence[Point], enough: Point, metric: str, name: str, counts: Mapping[str, int]) -> str:
    """Of a version whose images do not harm on the whole."""
    most = curve[-1]
    if not enough["images"]:
        return "Generated images do nothing here: the real ones alone are as good."
    if enough["images"] < most["images"]:
        text = f"{amount(enough)} are enough: more does nothing."
        best = max(curve, key=lambda point: point[metric]["mean"])
        if not is_below(most[metric], best[metric], counts[metric]):
            return text
        before, after = share(best[metric]["mean"]), share(most[metric]["mean"])
        return f"{amount(best)} do best: with all {most['images']:,}, {name} falls, {before} → {after}."
    if len(curve) > 2:
        return f"{name[0].upper()}{name[1:]} still rises at {amount(most)}: make more."
    return f"{amount(most)} help; whether fewer would do was not measured: add evaluation.amounts, such as [0.25, 0.5]."


def remedy(curve: Sequence[Point], enough: Point, counts: Mapping[str, int]) -> str:
    """Of a version whose images harm: fewer of them, where those do better than none and lower nothing."""
    none, most = curve[0], curve[-1]
    harmless = not any(is_below(enough[metric], none[metric], counts[metric]) for metric in METRICS)
    if 0 < enough["images"] < most["images"] and harmless:
        return f"All {most['images']:,} generated images harm: train on {amount(enough)}."
    return "Generated images harm: train without them, and change how they are made or filtered."


def amount(point: Point) -> str:
    """'1,000 (0.5 for each real image)'."""
    return f"{point['images']:,} ({point['ratio']:.2g} for each real image)"


def class_rows(curve: Sequence[Point]) -> dict[str, list[Mapping[str, Any]]]:
    """Accuracy of each class by amount; of many classes, those that change most."""
    rows = {label: [point["classes"][label] for point in curve] for label in (curve[0]["classes"] if curve else ())}
    spans = {label: max(r["mean"] for r in row) - min(r["mean"] for r in row) for label, row in rows.items()}
    chosen = sorted(rows, key=lambda label: -spans[label])[:CLASSES]
    return {label: row for label, row in rows.items() if label in chosen}
