"""Features learned from generated images, and classes known by the means of a few real ones. Ten seconds."""

import numpy as np
import pytest
import torch

from pipelines.records import Examples
from pipelines.training.batches import Feed
from pipelines.training.fit import train
from pipelines.training.personalized import know_by_means, masks
from pipelines.vision.classifier import Classifier
from tests.training.shortcut import CLASSES, scored, shortcut, task


def test_real_images_are_anchors_and_generated_ones_positives_and_negatives() -> None:
    targets, generated = torch.tensor([0, 1, 0, 1, 1]), torch.tensor([False, False, True, True, True])
    positives, negatives = masks(targets, generated)
    assert positives.nonzero().tolist() == [[0, 2], [1, 3], [1, 4]]
    assert negatives.nonzero().tolist() == [[0, 3], [0, 4], [1, 2]]


def test_a_class_is_what_its_real_images_are_on_average() -> None:
    """Oracle: the nearest mean of features by cosine, in numpy."""
    torch.manual_seed(0)
    model, real, test = Classifier(CLASSES), shortcut(3, 2), shortcut(20, 20, seed=1)
    know_by_means(model, task(real, None))
    features = [model.features(part.images).numpy() for part in (real, test)]
    ours, others = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in features)
    means = np.stack([ours[[label == c for label in real.labels]].mean(axis=0) for c in CLASSES])
    nearest = (others @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T).argmax(axis=1)
    assert model.scores(test.images).argmax(dim=1).tolist() == nearest.tolist()
    assert 0 < nearest.mean() < 1


def few(size: int) -> Examples:
    return shortcut(size, 0, seed=2)


def fitted(recipe: str, seed: int = 0, validation: Examples | None = None) -> Classifier:
    generated = Feed(shortcut(30, 30, seed=5), CLASSES)
    return train(task(few(2), validation, generated=generated, recipe=recipe, seed=seed, steps=120))


@pytest.mark.parametrize("validation", [None, shortcut(8, 8, seed=3)])
def test_features_of_generated_images_serve_a_few_real_ones(validation: Examples | None) -> None:
    """Two real images a class, all on one background; the generated ones, on both, show what does not matter."""
    test = shortcut(30, 30, seed=9)
    assert scored(fitted("personalized", validation=validation), test).worst_group > 0.8
    alone = train(task(few(2), validation, steps=120))
    assert scored(alone, test).worst_group < 0.5


def test_the_seed_alone_decides() -> None:
    first, again, other = (fitted("personalized", seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)
