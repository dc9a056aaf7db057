"""Metrics against values worked out by hand."""

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix
from torch import Tensor

from pipelines.training.metrics import Score, calibration_error, group_name, score, shots, summary, summed

CLASSES = ("boot", "sneaker")


def logits(*shares: float) -> Tensor:
    """Logits that give each picture this probability of being a boot."""
    boot = torch.tensor(shares)
    return torch.stack([boot, 1 - boot], dim=1).log()


def test_accuracy_on_average_by_group_and_on_the_worst() -> None:
    """Boots on grass 2 of 2, boots on brick 1 of 2, sneakers on brick 3 of 4, sneakers on grass 0 of 1: 6 of 9."""
    labels = ["boot"] * 4 + ["sneaker"] * 5
    groups = ["grass", "grass", "brick", "brick", "brick", "brick", "brick", "brick", "grass"]
    found = score(logits(0.9, 0.6, 0.8, 0.3, 0.1, 0.2, 0.4, 0.7, 0.9), CLASSES, labels, groups)
    assert found.groups == {"boot on brick": 0.5, "boot on grass": 1.0, "sneaker on brick": 0.75, "sneaker on grass": 0.0}
    assert found.average == pytest.approx(6 / 9)
    assert found.worst_group == 0.0
    assert found.classes == {"boot": 0.75, "sneaker": 0.6}
    assert found.macro_std == pytest.approx((0.25 + 0.3) / 2), "0.25 of boots; of sneakers (0.8 0.15² + 0.2 0.6²)^½"
    assert found.confusion == {"boot": {"boot": 3, "sneaker": 1}, "sneaker": {"boot": 2, "sneaker": 3}}


def test_classes_are_many_medium_or_few_by_their_training_images() -> None:
    sizes = {"a": 101, "b": 200, "c": 100, "d": 20, "e": 19}
    found = shots({"a": 1.0, "b": 0.5, "c": 0.4, "d": 0.2, "e": 0.1}, sizes)
    assert found == {"many": pytest.approx(0.75), "medium": pytest.approx(0.3), "few": pytest.approx(0.1)}
    assert shots({"e": 0.1}, sizes) == {"few": pytest.approx(0.1)}


def test_without_groups_the_worst_class_stands_for_the_worst_group() -> None:
    found = score(logits(0.9, 0.2, 0.1), CLASSES, ["boot", "boot", "sneaker"], [None] * 3)
    assert found.groups == {"boot": 0.5, "sneaker": 1.0}
    assert found.worst_group == 0.5
    assert found.macro_std == 0.0


def test_images_whose_group_is_unknown_are_a_group_of_their_class() -> None:
    assert group_name("boot", None) == "boot"
    assert group_name("boot", "grass") == "boot on grass"
    found = score(logits(0.9, 0.2), CLASSES, ["boot", "boot"], ["grass", None])
    assert found.groups == {"boot": 0.0, "boot on grass": 1.0}


def test_calibration_error_by_hand() -> None:
    """Three at 0.9 of which two are right, one at 0.55 which is right: (3 |0.9 - 2/3| + |0.55 - 1|) / 4 = 0.2875."""
    found = score(logits(0.9, 0.9, 0.9, 0.55), CLASSES, ["boot", "boot", "sneaker", "boot"], [None] * 4)
    assert found.ece == pytest.approx(0.2875)


def test_two_confidences_of_one_bin_are_judged_together() -> None:
    """0.81 and 0.85 lie between 12/15 and 13/15: mean 0.83 against half right."""
    assert calibration_error(np.array([0.81, 0.85]), np.array([True, False])) == pytest.approx(0.33)
    assert calibration_error(np.array([0.79, 0.81]), np.array([True, False])) == pytest.approx((0.21 + 0.81) / 2)


def test_full_confidence_has_a_bin_too() -> None:
    assert calibration_error(np.array([1.0, 1.0]), np.array([True, True])) == 0
    assert calibration_error(np.array([1.0, 1.0]), np.array([False, False])) == 1


def test_a_calibrated_classifier_has_a_small_error_and_an_overconfident_one_has_not() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 20_000)
    right = rng.random(20_000) < confidence
    assert calibration_error(confidence, right) < 0.02
    assert calibration_error(np.full(20_000, 0.999), right) > 0.2


def test_a_better_worst_group_is_chosen_over_a_better_average() -> None:
    fair, good, fairer = Score(0.7, 0.6, {}, 0.0), Score(0.9, 0.5, {}, 0.0), Score(0.8, 0.6, {}, 0.0)
    assert max([fair, good, fairer], key=lambda each: each.choice) is fairer
    assert fair.choice > good.choice


def test_confident_logits_do_not_overflow() -> None:
    found = score(torch.tensor([[1e4, -1e4], [-1e4, 1e4]]), CLASSES, ["boot", "boot"], [None, None])
    assert (found.average, found.ece) == (0.5, 0.5)


@pytest.mark.parametrize(("values", "mean", "std"), [([0.5], 0.5, 0.0), ([0.2, 0.4], 0.3, 0.02**0.5), ([1, 1, 1], 1, 0)])
def test_a_summary_is_the_mean_and_the_sample_deviation(values: list[float], mean: float, std: float) -> None:
    assert summary(values) == {"mean": pytest.approx(mean), "std": pytest.approx(std), "values": values}


def test_confusion_matrices_agree_with_scikit_learn_and_are_summed_over_seeds() -> None:
    rng, names = np.random.default_rng(0), ("a", "b", "c")
    truth = rng.integers(0, 3, 60)
    guesses = [rng.integers(0, 3, 60) for _ in range(2)]
    labels = [names[n] for n in truth]
    matrices = [score(torch.eye(3)[torch.from_numpy(g)], names, labels, [None] * 60).confusion for g in guesses]
    expected = sum(confusion_matrix(truth, guess) for guess in guesses)
    total = summed(matrices)
    assert [[total[row].get(column, 0) for column in names] for row in names] == expected.tolist()
    assert summed([matrices[0], {}]) == {}, "one seed is of an older release"
