"""Confident learning by hand, and the regression against its optimality condition."""

import numpy as np

from pipelines.inspection import labels
from pipelines.training.logistic import l2_logistic


def test_the_confident_joint_counts_as_in_the_paper() -> None:
    """Thresholds are the mean own probabilities, 0.6 and 0.7: the third image counts in class 1, the last one in none."""
    probabilities = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.1, 0.9], [0.2, 0.8], [0.6, 0.4]])
    targets = np.array([0, 0, 0, 1, 1, 1])
    counted, joint = labels.confident_joint(probabilities, targets)
    assert counted.tolist() == [0, 0, 1, 1, 1, 0]
    assert joint.tolist() == [[2, 1], [1, 2]]
    doubtful = np.array([[0.9, 0.1], [0.9, 0.1], [0.55, 0.45], [0.1, 0.9]])
    assert labels.confident_joint(doubtful, np.array([0, 0, 1, 1]))[0].tolist() == [0, 0, -1, 1]


def test_copies_are_in_one_fold_and_classes_in_all() -> None:
    numbers = np.array([0, 1, 2, 3, 0, 4, 5, 6, 7, 8, 9, 3])
    targets = np.array([0] * 6 + [1] * 6)
    fold = labels.folds(numbers, targets)
    assert fold[0] == fold[4]
    assert fold[3] == fold[11]
    assert set(fold[:6]) == set(fold) == set(range(labels.FOLDS))


def test_groups_of_a_class_weigh_the_same() -> None:
    weights = labels.cell_weights(np.array([0, 0, 0, 1, 2, 2]))
    assert np.allclose(weights, [2 / 3, 2 / 3, 2 / 3, 2, 1, 1])


def test_the_regression_ends_where_no_coefficient_should_change() -> None:
    """The gradient, by differences of the loss as it is defined, is nothing there."""
    rng = np.random.default_rng(0)
    x = np.hstack([rng.normal(size=(80, 3)), np.ones((80, 1))])
    targets, weights = rng.integers(0, 3, 80), rng.uniform(0.5, 1.5, 80)

    def loss(coefficients: np.ndarray) -> float:
        scores = x @ coefficients.T
        own = scores[np.arange(80), targets] - np.log(np.exp(scores).sum(axis=1))
        return float(-(weights * own).mean() + 0.1 / 2 * (coefficients[:, :3] ** 2).sum())

    slopes, bias = l2_logistic(x[:, :3], targets, 3, weights, 0.1 * 80)
    best = np.hstack([slopes, bias[:, None]])
    for place in np.ndindex(best.shape):
        step = np.zeros_like(best)
        step[place] = 1e-4
        assert abs(loss(best + step) - loss(best - step)) / 2e-4 < 2e-3
