"""How many samples a version needs: nested shares of them, from none to all, and the accuracy with each."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipelines.chance import derive
from pipelines.evaluation.samples import Row
from pipelines.records import Examples
from pipelines.training.metrics import summary
from pipelines.vision.pixels import Subset

SINGLE, PARTS = ("average", "worst_group"), ("groups", "classes")  # figures of a point of the curve


def balanced_order(rows: Sequence[Row], seed: int) -> list[int]:
    """The numbers of samples, in an order whose every beginning has its share of each class, and within a class of each
    group, to within one. Samples of one class and group are in random order, by the version's seed and their index.
    """
    classes: dict[int, dict[str, list[int]]] = {}
    for number in sorted(range(len(rows)), key=lambda number: derive(seed, "amounts", rows[number]["index"])):
        row = rows[number]
        classes.setdefault(row["label"], {}).setdefault(str(row["group"]), []).append(number)
    return interleaved(interleaved(groups[name] for name in sorted(groups)) for _, groups in sorted(classes.items()))


def interleaved(parts: Iterable[Sequence[int]]) -> list[int]:
    """Several orders as one, in which the members of each lie evenly apart."""
    places = [
        ((place + 0.5) / len(part), number, member) for number, part in enumerate(parts) for place, member in enumerate(part)
    ]
    return [member for *_, member in sorted(places)]


def beginning(examples: Examples, order: Sequence[int], share: float) -> Examples:
    """The first of an order of examples, as many as are that share of all, and one at least. No image is read yet."""
    rows = order[: max(1, round(share * len(order)))]
    labels, groups = [examples.labels[row] for row in rows], [examples.groups[row] for row in rows]
    return Examples(Subset(examples.images, rows), labels, groups, examples.strengths_of(rows))


def curve(runs: Mapping[float, Sequence[Mapping[str, Any]]], real: int) -> dict[str, Any] | None:
    """Accuracy by amount, the smallest first: `runs` by their share of the version's samples, 0 for real images alone, of
    which there are `real`. None where they were trained before their images were counted."""
    if any("added" not in result for results in runs.values() for result in results):
        return None
    points = []
    for share, results in sorted(runs.items()):
        images = results[0]["added"]
        figures: dict[str, Any] = {name: summary([result[name] for result in results]) for name in SINGLE}
        for part in PARTS:
            figures[part] = {name: summary([result[part][name] for result in results]) for name in results[0][part]}
        points.append({"share": share, "images": images, "ratio": images / real, **figures})
    return {"real": real, "points": points}
