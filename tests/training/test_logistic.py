"""Logistic regression with an L1 penalty, held against what a minimum has to fulfil."""

import numpy as np
import pytest
from scipy.special import softmax

from pipelines.training.logistic import l1_logistic


@pytest.mark.parametrize(("classes", "c"), [(2, 1.0), (3, 1.0), (3, 0.1)])
def test_the_slope_of_the_loss_balances_the_penalty(classes: int, c: float) -> None:
    """At the minimum the slope is -sign(weight) where a weight is not 0, within -1..1 where it is; 0 for biases."""
    rng = np.random.default_rng(0)
    x, targets = rng.normal(size=(80, 6)), rng.integers(classes, size=80)
    x[np.arange(80), targets] += 1
    weights, biases = l1_logistic(x, targets, classes, c)
    residual = c * (softmax(x @ weights.T + biases, axis=1) - np.eye(classes)[targets])
    slope, used = residual.T @ x, np.abs(weights) > 1e-6
    assert used.any()
    assert not used.all()
    assert slope[used] == pytest.approx(-np.sign(weights[used]), abs=0.01)
    assert np.abs(slope[~used]).max() <= 1.01
    assert residual.sum(axis=0) == pytest.approx(np.zeros(classes), abs=0.01)


def test_under_a_heavy_penalty_frequencies_are_all_that_is_left() -> None:
    rng = np.random.default_rng(0)
    weights, biases = l1_logistic(rng.normal(size=(40, 3)), np.array([0] * 30 + [1] * 10), 2, 1e-3)
    assert (weights == 0).all()
    assert softmax(biases) == pytest.approx([0.75, 0.25], abs=1e-2)
