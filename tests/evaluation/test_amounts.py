"""How many samples are enough: nested shares, and real small trainings in a world that they help and in one that they harm.

Costs about fifteen seconds: twelve trainings of 60 steps on images of 32 pixels.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.evaluation.additions import ADDITIONS
from pipelines.evaluation.amounts import balanced_order, beginning, curve
from pipelines.evaluation.evaluator import Evaluator, evaluate
from pipelines.evaluation.runs import Run, trainings, units
from pipelines.methods import open_method
from pipelines.records import Examples, Quota
from pipelines.report.amounts import advice
from pipelines.report.confusion import confusion_change
from pipelines.report.headline import headline
from pipelines.spec import Evaluation
from pipelines.store import keys
from pipelines.store.canonical import canonical
from pipelines.version.plan import Plan
from tests.builders import noise, open_resources


def sample_rows(**kinds: int) -> list[dict[str, Any]]:
    """So many rows of each kind: `boot_grass=12`, or of no group `boot=3`."""
    pairs = [name.partition("_") for name, count in kinds.items() for _ in range(count)]
    labels = sorted({label for label, *_ in pairs})
    return [
        {"label": labels.index(label), "group": group or None, "index": index}
        for index, (label, _, group) in enumerate(pairs)
    ]


def test_every_share_of_a_version_has_its_share_of_each_class_and_group() -> None:
    rows = sample_rows(boot_grass=64, boot_brick=16, sneaker_grass=24, sneaker_brick=8)
    order = balanced_order(rows, 0)
    assert sorted(order) == list(range(len(rows)))
    for share in (0.125, 0.25, 0.5):
        part = Counter((rows[n]["label"], rows[n]["group"]) for n in order[: round(share * len(rows))])
        whole = Counter((row["label"], row["group"]) for row in rows)
        assert all(abs(part[kind] - share * whole[kind]) <= 1 for kind in whole), (share, part)
        classes = Counter(label for label, _ in part.elements())
        assert classes == {0: share * 80, 1: share * 32}


def test_the_order_is_that_of_the_seed_and_no_other() -> None:
    rows = sample_rows(boot=20, sneaker=20)
    assert balanced_order(rows, 7) == balanced_order(rows, 7) != balanced_order(rows, 8)
    assert balanced_order(rows, 7)[:2] != [0, 20], "not the first of the plan"


def test_a_class_of_one_sample_is_in_the_larger_half() -> None:
    order = balanced_order(sample_rows(boot=1, sneaker=9), 0)
    assert 0 in order[:6]


def test_the_beginning_of_an_order_reads_no_image() -> None:
    class Unread(list[Any]):
        def __getitem__(self, place: Any) -> Any:
            raise AssertionError("read")

    labels = [f"class {n}" for n in range(8)]
    part = beginning(Examples(Unread([0] * 8), labels, [None] * 8), [5, 2, 7, 0, 1, 3, 4, 6], 0.25)
    assert (list(part.labels), len(part)) == (["class 5", "class 2"], 2)
    images = [noise(n) for n in range(8)]
    part = beginning(Examples(images, labels, [None] * 8), [5, 2, 7, 0, 1, 3, 4, 6], 0.01)
    assert (len(part), np.array_equal(part.images[0], images[5])) == (1, True), "one at least"


def scores(average: float, added: int | None = None) -> dict[str, Any]:
    parts = {"groups": {"boot": average}, "classes": {"boot": average}, "shots": {}}
    counted = {} if added is None else {"added": added}
    return {"average": average, "worst_group": average - 0.1, "ece": 0.0, **parts, **counted}


def test_a_curve_begins_with_real_images_alone() -> None:
    found = curve({1.0: [scores(0.8, 40), scores(0.9, 40)], 0.0: [scores(0.5, 0)] * 2, 0.5: [scores(0.7, 20)] * 2}, 80)
    assert found is not None
    assert [(p["share"], p["images"], p["ratio"]) for p in found["points"]] == [(0, 0, 0), (0.5, 20, 0.25), (1, 40, 0.5)]
    assert found["points"][2]["average"] == {
        "mean": pytest.approx(0.85),
        "std": pytest.approx(0.05 * 2**0.5),
        "values": [0.8, 0.9],
    }
    assert found["points"][1]["classes"]["boot"]["mean"] == pytest.approx(0.7)
    assert curve({0.0: [scores(0.5)], 1.0: [scores(0.8, 40)]}, 80) is None, "of an older release"


def test_every_share_is_a_unit_of_each_seed() -> None:
    spec = Evaluation(seeds=(0, 1), amounts=(0.5, 1.0, 0.25))
    runs = trainings(spec)
    assert runs[:4] == [Run(arm, seed) for arm in ("erm", "counterpoise") for seed in (0, 1)]
    assert runs[4:] == [Run("counterpoise", seed, share) for share in (0.25, 0.5) for seed in (0, 1)], "all is an arm's own"
    assert units(spec) == 9
    assert len({keys.run("root", run.arm, run.seed, run.share) for run in runs}) == 8


def opened(folder: Path, monkeypatch: pytest.MonkeyPatch, *amounts: float, shuffled: bool) -> Evaluator:
    """A version of 160 unused real images, a stand-in for perfect samples; or of the same with each other's labels.

    The real training images are few, and nearly all of each class on one scene.
    """
    resources = open_resources(
        folder,
        source={"type": "spurious", "classes": ["bag", "boot"], "train": 24, "validation": 48, "test": 200},
        classifier={"steps": 60, "batch": 32},
    )
    spec = Evaluation(arms=("erm", "counterpoise"), seeds=(0, 1), amounts=amounts, reencode=0, checkpoint="last")
    made = Evaluator(resources, Plan("", "", (Quota("boot", None, 1),), 1), open_method(resources), spec)
    classes, reserve = resources.source.classes, resources.source.splits["reserve"]
    chosen = [item for label in classes for group in ("grass", "brick") for item in members(reserve, label, group)[:40]]
    rows = [{"label": classes.index(i.label), "group": i.group, "origin": None, "index": n} for n, i in enumerate(chosen)]
    made.data.__dict__["kept"] = rows
    other = dict(zip(classes, classes[::-1], strict=True))
    examples = resources.view.labelled(chosen)
    labels = [other[label] if shuffled else label for label in examples.labels]
    monkeypatch.setattr("pipelines.parallel.WORTHWHILE", 10**9)  # steps: in this process, which has torch already
    monkeypatch.setitem(ADDITIONS, "version", lambda data: Examples(examples.images, labels, examples.groups))
    return made


def members(items: list[Any], label: str, group: str) -> list[Any]:
    return [item for item in items if (item.label, item.group) == (label, group)]


def summary(evaluation: dict[str, Any]) -> dict[str, Any]:
    return {**evaluation, "counts": {"kept": 160, "generated": 160}}


def test_where_more_images_help_the_curve_rises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = opened(tmp_path, monkeypatch, 0.5, 0.125, shuffled=False)
    by_unit = made.run_unit(4)
    assert (by_unit["arm"], by_unit["share"], by_unit["seed"]) == ("counterpoise", 0.125, 0)
    evaluation = evaluate(made)
    assert json.loads(canonical(evaluation)) == evaluation
    points = evaluation["amounts"]["points"]
    assert [(p["images"], len(p["average"]["values"])) for p in points] == [(0, 2), (20, 2), (80, 2), (160, 2)]
    assert points[0]["average"] == evaluation["arms"]["erm"]["average"]
    assert points[3]["worst_group"] == evaluation["arms"]["counterpoise"]["worst_group"]
    none, few, *many = [point["average"]["mean"] for point in points]
    assert min(many) > few + 0.03 > none
    advised = advice(evaluation)
    assert advised is not None
    assert advised["enough"]["average"] in (80, 160)
    assert "harm" not in advised["text"] + headline(summary(evaluation))
    for arm in evaluation["arms"].values():
        confusion = arm["confusion"]
        assert sum(map(sum, (row.values() for row in confusion.values()))) == 2 * 200
        right = sum(confusion[label].get(label, 0) for label in confusion)
        assert right / 400 == pytest.approx(arm["average"]["mean"])
    changes = confusion_change(evaluation)
    assert changes is not None
    assert sum(change.change for change in changes.classes) > 0


def test_where_labels_are_wrong_the_first_line_says_that_it_harms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluation = evaluate(opened(tmp_path, monkeypatch, shuffled=True))
    assert headline(summary(evaluation)).startswith("Generated data harms: ")
    advised = advice(evaluation)
    assert advised is not None
    assert advised["text"].startswith("Generated images harm: train without them")
    assert advised["enough"]["average"] == 0
