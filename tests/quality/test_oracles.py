"""The report's metrics against the libraries that are kept for them. Costs three seconds."""

import numpy as np
import pytest
import torch
from prdc import compute_prdc
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.neighbors import NearestNeighbors
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance
from vendi_score.vendi import score_X

from pipelines.quality.distances import SIGMA, Set, cmmd, frechet_distance, kid, nearest, nearest_others
from pipelines.quality.unrealistic import auc
from pipelines.quality.variety import prdc, vendi_score
from pipelines.training.logistic import l2_logistic
from pipelines.training.out_of_fold import train

RNG = np.random.default_rng(0)


def unit(rows: int, width: int, shift: float = 0.0) -> Set:
    x = RNG.normal(shift, 1, (rows, width))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


A, B = unit(60, 12), unit(50, 12, 0.3)


class Given(torch.nn.Module):
    """An extractor whose features are what it is given."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)


def as_images(x: Set) -> torch.Tensor:
    return torch.from_numpy(x)[:, :, None, None]


def test_frechet_distance() -> None:
    oracle = FrechetInceptionDistance(feature=Given(), input_img_size=(12, 1, 1), normalize=True)
    oracle.set_dtype(torch.float64)
    for x, real in ((A, True), (B, False)):
        oracle.update(as_images(x.astype(np.float64)), real=real)
    assert frechet_distance(A, B) == pytest.approx(float(oracle.compute()), rel=1e-5)
    assert frechet_distance(A, A) == pytest.approx(0, abs=1e-6)


def test_kid_has_no_bias() -> None:
    oracle = KernelInceptionDistance(feature=Given(), subsets=1, subset_size=50, normalize=True)
    for x, real in ((A[:50], True), (B, False)):
        oracle.update(as_images(x), real=real)
    assert kid(A[:50], B) == pytest.approx(float(oracle.compute()[0]), rel=1e-4)
    assert abs(np.mean([kid(unit(10, 12), unit(10, 12)) for _ in range(200)])) < 2e-3


def test_cmmd_is_the_mean_of_a_gaussian_kernel() -> None:
    gamma = 1 / (2 * SIGMA**2)
    a, b = A.astype(np.float64), B.astype(np.float64)
    expected = rbf_kernel(a, gamma=gamma).mean() + rbf_kernel(b, gamma=gamma).mean() - 2 * rbf_kernel(a, b, gamma).mean()
    assert cmmd(A, B) == pytest.approx(1000 * expected, rel=1e-6)


@pytest.mark.parametrize(("rows", "width"), [(60, 12), (8, 12)])
def test_vendi_score(rows: int, width: int) -> None:
    x = unit(rows, width)
    assert vendi_score(x) == pytest.approx(float(score_X(x.astype(np.float64))), rel=1e-4)


def test_vendi_score_counts_what_differs() -> None:
    assert vendi_score(np.eye(7)) == pytest.approx(7)
    assert vendi_score(np.tile(A[:1], (9, 1))) == pytest.approx(1, abs=1e-4)


def test_precision_recall_density_and_coverage() -> None:
    for k in (3, 5):
        assert prdc(A, B, k) == pytest.approx(compute_prdc(A.astype(np.float64), B.astype(np.float64), k))


def test_nearest_neighbours() -> None:
    expected, rows = NearestNeighbors(n_neighbors=1).fit(B).kneighbors(A)
    distances, places = nearest(A, B)
    assert distances == pytest.approx(expected[:, 0], abs=1e-3)
    assert (places == rows[:, 0]).all()
    others, rows = NearestNeighbors(n_neighbors=2).fit(A).kneighbors(A)
    distances, places = nearest_others(A)
    assert distances == pytest.approx(others[:, 1], abs=1e-3)
    assert (places == rows[:, 1]).all()
    assert (nearest(A, B[:1], np.zeros(len(A), np.int64))[0] == np.inf).all()


def test_logistic_regression_with_weights() -> None:
    x, targets = RNG.normal(size=(90, 5)), RNG.integers(0, 3, 90)
    weights = RNG.uniform(0.5, 2, 90)
    slopes, bias = l2_logistic(x, targets, 3, weights, penalty=2.0)
    oracle = LogisticRegression(C=0.5, tol=1e-8, max_iter=1000).fit(x, targets, sample_weight=weights)
    assert slopes - slopes.mean(axis=0) == pytest.approx(oracle.coef_ - oracle.coef_.mean(axis=0), abs=1e-3)
    assert bias - bias.mean() == pytest.approx(oracle.intercept_ - oracle.intercept_.mean(), abs=1e-3)


def test_out_of_fold_nobody_is_judged_by_who_learned_from_it() -> None:
    """Labels that mean nothing: a model that had seen them would be right."""
    x, targets = RNG.normal(size=(100, 60)).astype(np.float32), np.arange(100) % 2
    judge = train(x, targets, 2, 0, np.ones(100), penalty=0.1)
    right = [float((shares.argmax(axis=1) == targets).mean()) for shares in (judge.out_of_fold(x), judge.of_others(x))]
    assert right[0] < 0.7 < right[1]


def test_area_under_the_curve() -> None:
    negative, positive = RNG.normal(size=30).round(1), RNG.normal(0.5, 1, 40).round(1)
    expected = roc_auc_score([0] * 30 + [1] * 40, np.concatenate([negative, positive]))
    assert auc(negative, positive) == pytest.approx(expected)
