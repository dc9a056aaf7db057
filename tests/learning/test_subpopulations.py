"""Clusters of each class: k-means beside scipy's, folds, and what is stored. Costs five seconds."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.cluster.vq import kmeans2

from pipelines.learning.kmeans import kmeans, squared_distances
from pipelines.learning.resources import Resources
from pipelines.learning.subpopulations import FOLDS, SMALLEST, UNDIVIDED, Subpopulations, by_size, undivided
from tests.builders import open_resources

METHOD = {"type": "subpopulation", "inversion": {"steps": 1}}


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
    ranks, order = by_size(np.repeat([2, 0, 1], [8, 5, 6]))
    assert ranks.tolist() == [0] * 8 + [2] * 5 + [1] * 6
    assert order == [2, 1, 0]


def test_a_cluster_of_few_images_is_part_of_the_largest() -> None:
    ranks, order = by_size(np.repeat([0, 1, 2], [SMALLEST - 1, 9, SMALLEST]))
    assert ranks.tolist() == [0] * 4 + [0] * 9 + [1] * 5
    assert order == [1, 2]


@pytest.fixture
def resources(tmp_path: Path) -> Resources:
    return open_resources(tmp_path, method=METHOD)


def subpopulations(resources: Resources) -> Subpopulations:
    return Subpopulations(resources)


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
        assert 1 <= len(clusters) <= 2
        assert sorted(item.id for own in clusters for item in own) == sorted(i.id for i in resources.source.of(label))
        assert [len(own) for own in clusters] == sorted(map(len, clusters), reverse=True)
    monkeypatch.setattr(Subpopulations, "held_out_logits", None)  # the second time, nothing is computed
    assert subpopulations(resources).members == first


def test_a_cluster_is_called_by_the_class_that_a_classifier_of_other_images_takes_it_for(resources: Resources) -> None:
    clusters, classes = subpopulations(resources), resources.source.classes
    taken = dict(zip(clusters.items, clusters.held_out_logits().argmax(axis=1), strict=True))
    for label, contexts in clusters.contexts.items():
        assert len(set(contexts)) == len(contexts)
        for number, own in enumerate(clusters.members[label]):
            few = {c for c in range(2) if sum(taken[i] == c for i in clusters.items if i.label == label) < SMALLEST}
            assert {classes[taken[item]] for item in own if taken[item] not in few} <= {contexts[number]}


@pytest.mark.parametrize("mistaken", [0, SMALLEST - 1, SMALLEST])
def test_classes_that_are_not_mistaken_for_each_other_are_said_to_be_undivided(
    mistaken: int, resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = list[str]()
    monkeypatch.setattr(resources.progress, "say", said.append)
    clusters, classes = subpopulations(resources), resources.source.classes
    taken = np.array([classes.index(item.label) for item in clusters.items])
    taken[:mistaken] = 1 - taken[:mistaken]
    monkeypatch.setattr(Subpopulations, "held_out_logits", lambda _: np.eye(len(classes))[taken])
    assert undivided(clusters.contexts) == (mistaken < SMALLEST)
    assert undivided(subpopulations(resources).contexts) == (mistaken < SMALLEST)  # read, and not said again
    assert said == [UNDIVIDED] * (mistaken < SMALLEST)


def test_clusters_of_embeddings_are_each_classes_own(tmp_path: Path) -> None:
    method = {**METHOD, "features": "clip", "clusters": 2}
    resources = open_resources(tmp_path, method=method)
    contexts = subpopulations(resources).contexts
    assert all(
        own == [f"{label}/{number}" for number in range(len(own))] or len(own) == 2 for label, own in contexts.items()
    )
    assert all(context.startswith(f"{label}/") for label, own in contexts.items() for context in own)


def test_every_class_and_every_cluster_of_it_is_drawn_as_often(resources: Resources) -> None:
    clusters = subpopulations(resources)
    items, weights = resources.source.splits["train"], clusters.weights()
    assert sum(weights) == pytest.approx(1)
    share = Counter[tuple[str, int]]()
    for item, weight in zip(items, weights, strict=True):
        share[item.label, clusters.numbers[item.id]] += weight
    for label, own in clusters.members.items():
        assert [share[label, number] for number in range(len(own))] == pytest.approx([1 / 2 / len(own)] * len(own))


def test_those_of_a_plain_classifier_are_the_same_for_every_method(resources: Resources, tmp_path: Path) -> None:
    other = open_resources(tmp_path / "other", method={"type": "text_to_image"})
    assert subpopulations(other).members == subpopulations(resources).members
