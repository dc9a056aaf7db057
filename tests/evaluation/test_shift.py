"""Accuracy against shift intensity: by hand, and by test sets that are really put together so. One second."""

from typing import Any

import numpy as np
import pytest
import torch

from pipelines.evaluation.shift import SHARES, accuracy_by_shift, group_counts
from pipelines.records import Item
from pipelines.training.metrics import score

CLASSES = ("boot", "sneaker")
SCENES = ("brick", "grass", "snow")


def run(**accuracies: float) -> dict[str, Any]:
    return {"groups": {name.replace("_", " on "): value for name, value in accuracies.items()}}


def test_by_hand() -> None:
    """Boots are 9 in 10 on grass, sneakers 8 in 10 on brick: at the largest shift all stand on the other."""
    train = {"boot": {"grass": 90, "brick": 10}, "sneaker": {"grass": 2, "brick": 8}}
    test = {"boot": {"grass": 30, "brick": 30}, "sneaker": {"grass": 10, "brick": 10}}
    runs = [run(boot_grass=1.0, boot_brick=0.2, sneaker_brick=0.9, sneaker_grass=0.4)]
    shift = accuracy_by_shift({"erm": runs}, train, test)
    assert shift is not None
    largest = 0.75 * 0.9 + 0.25 * 0.8
    assert shift["intensities"] == pytest.approx([share * largest for share in SHARES])
    start = 0.75 * (0.9 * 1.0 + 0.1 * 0.2) + 0.25 * (0.8 * 0.9 + 0.2 * 0.4)
    end = 0.75 * 0.2 + 0.25 * 0.4
    means = [point["mean"] for point in shift["arms"]["erm"]]
    assert means == pytest.approx([start + share * (end - start) for share in SHARES])


def test_it_is_the_accuracy_on_test_sets_that_are_so_composed() -> None:
    """Of three groups, by counting images: the mixtures here are whole numbers of them, and the scores are `score`'s."""
    rng = np.random.default_rng(0)
    train = {"boot": {"brick": 1, "grass": 2, "snow": 1}, "sneaker": {"brick": 2, "grass": 0, "snow": 2}}
    ends = {"boot": {"brick": 0.5, "grass": 0.0, "snow": 0.5}, "sneaker": {"brick": 0.0, "grass": 1.0, "snow": 0.0}}
    right = {(c, s): rng.permutation(np.arange(80) < rng.integers(80)) for c in CLASSES for s in SCENES}

    def measured(counts: dict[tuple[str, str], int]) -> Any:
        rows = [(c, s, hit) for (c, s), count in counts.items() for hit in np.resize(right[c, s], count)]
        said = [CLASSES.index(c) if hit else 1 - CLASSES.index(c) for c, _, hit in rows]
        logits = torch.nn.functional.one_hot(torch.tensor(said), 2).float()
        return score(logits, CLASSES, [c for c, _, _ in rows], [s for _, s, _ in rows])

    whole = measured(dict.fromkeys(right, 80))
    shift = accuracy_by_shift({"erm": [{"groups": whole.groups}]}, train, {c: dict.fromkeys(SCENES, 80) for c in CLASSES})
    assert shift is not None
    for place, share in enumerate(SHARES):
        mixtures = {
            (c, s): (1 - share) * train[c][s] / sum(train[c].values()) + share * ends[c][s] for c in CLASSES for s in SCENES
        }
        counts = {kind: round(80 * 16 * part) for kind, part in mixtures.items()}
        assert all(count % 80 == 0 for count in counts.values())
        assert shift["arms"]["erm"][place]["mean"] == pytest.approx(measured(counts).average)
        kept = [min(train[c][s] / sum(train[c].values()), mixtures[c, s]) for c in CLASSES for s in SCENES]
        assert shift["intensities"][place] == pytest.approx(1 - sum(kept) / 2)


def test_images_are_counted_by_class_and_group() -> None:
    items = [
        Item(str(n), "", label, group)
        for n, (label, group) in enumerate([("boot", "grass"), ("boot", "grass"), ("bag", None)])
    ]
    assert group_counts(items) == {"boot": {"grass": 2}, "bag": {None: 1}}


def test_there_is_no_shift_without_groups_or_where_all_are_as_frequent() -> None:
    runs = {"erm": [run(boot=0.5, sneaker=0.5)]}
    unknown = {"boot": {None: 9}, "sneaker": {None: 3}}
    assert accuracy_by_shift(runs, unknown, unknown) is None
    balanced = {label: {"grass": 5, "brick": 5} for label in CLASSES}
    assert accuracy_by_shift({}, balanced, balanced) is None
    elsewhere = {label: {"snow": 5} for label in CLASSES}
    assert accuracy_by_shift({}, elsewhere, balanced) is None
