"""Clusters of each class: k-means beside scipy's, folds, and what is stored. Costs five seconds."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.cluster.vq import kmeans2

from pipelines.learning.kmeans import kmeans, squared_distances
from pipelines.learning.resources import Resources
from pipelines.learning.subpopulations import FOLDS, Subpopulations, by_size
from pipelines.spec import Subpopulation
from tests.builders import open_resources

METHOD = {"type": "subpopulation", "clusters": 3, "inversion": {"steps": 1}}


def spots(counts: list[int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows around well separated centres, and which of them each is around."""
    rng, centres = np.random.default_rng(seed), np.array([[0.0, 0, 0], [9, 0, 0], [0, 9, 0], [0, 0, 9]])
    truth = np.repeat(np.arange(len(counts)), counts)
    order = rng.permutation(len(truth))
    return (centres[truth] + rng.normal(size=(len(truth), 3)))[order], truth[order]


def test_what_lies_apart_is_told_apart_however_rare_it_is() -> None:
    x, truth = spots([400, 12, 60, 5])
    pairs = set(zip(kmeans(x, 4, np.random.default_rng(0)).tolist(), truth.tolist(), strict=True))
    assert len(pairs) == 4


def test_no_clustering_of_scipy_is_tighter() -> None:
    x = np.random.default_rng(1).normal(size=(200, 2))

    def spread(clusters: np.ndarray) -> float:
        return sum(float(((x[clusters == c] - x[clusters == c].mean(axis=0)) ** 2).sum()) for c in np.unique(clusters))

    theirs = min(spread(kmeans2(x, 5, iter=100, minit="++", rng=seed)[1]) for seed in range(10))
    assert spread(kmeans(x, 5, np.random.default_rng(0))) < 1.02 * theirs


def test_there_are_no_more_clusters_than_rows_that_differ() -> None:
    x = np.array([[1.0], [1.0], [2.0]])
    clusters = kmeans(x, 5, np.random.default_rng(0))
    assert clusters[0] == clusters[1] != clusters[2]
    assert sorted(set(clusters.tolist())) == [0, 1]


def test_distances_are_squared_and_of_every_pair() -> None:
    assert squared_distances(np.array([[0.0, 0], [3, 4]]), np.array([[0.0, 0]])).tolist() == [[0], [25]]


def test_the_largest_cluster_is_the_first() -> None:
    assert by_size(np.array([2, 2, 2, 0, 1, 1])).tolist() == [0, 0, 0, 2, 1, 1]


@pytest.fixture
def resources(tmp_path: Path) -> Resources:
    return open_resources(tmp_path, method=METHOD)


def subpopulations(resources: Resources) -> Subpopulations:
    assert isinstance(resources.spec.method, Subpopulation)
    return Subpopulations(resources, resources.spec.method)


def test_every_class_is_as_frequent_in_each_fold(resources: Resources) -> None:
    clusters = subpopulations(resources)
    counts = Counter(zip([item.label for item in clusters.items], clusters.folds().tolist(), strict=True))
    assert len(counts) == 2 * FOLDS
    assert max(counts.values()) - min(counts.values()) <= 1


def test_every_training_image_is_in_one_cluster_of_its_class_for_good(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = subpopulations(resources).members
    for label, clusters in first.items():
        assert 1 <= len(clusters) <= 3
        assert sorted(item.id for own in clusters for item in own) == sorted(i.id for i in resources.source.of(label))
        assert [len(own) for own in clusters] == sorted(map(len, clusters), reverse=True)
    monkeypatch.setattr(Subpopulations, "held_out_logits", None)  # the second time, nothing is computed
    assert subpopulations(resources).members == first
