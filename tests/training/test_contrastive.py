"""The contrastive loss by formulas, and the recipe that draws a class together across backgrounds. Ten seconds."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from pipelines.records import Examples
from pipelines.training.batches import Feed
from pipelines.training.contrastive import background_numbers, masks
from pipelines.training.contrastive_loss import contrastive_loss
from pipelines.training.fit import train
from pipelines.vision.classifier import Classifier
from tests.training.shortcut import CLASSES, GROUPS, scored, shortcut, task

Mask = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


def batch(seed: int, size: int = 9) -> tuple[torch.Tensor, Mask, Mask]:
    """Features, and positives and negatives that exclude each other; the last image has no positive."""
    rng = np.random.default_rng(seed)
    kinds = rng.integers(3, size=(size, size))
    positives, negatives = kinds == 0, kinds == 1
    positives[-1] = False
    return torch.from_numpy(rng.normal(0, 5, (size, 4))), positives, negatives


def by_hand(features: torch.Tensor, positives: Mask, temperature: float, negatives: Mask | None) -> float:
    x = features.numpy() / np.linalg.norm(features.numpy(), axis=1, keepdims=True)
    scores = np.exp(x @ x.T / temperature)
    losses = []
    for i in range(len(x)):
        own = [p for p in range(len(x)) if positives[i, p] and p != i]
        terms = []
        for p in own:
            others = [n for n in range(len(x)) if (n != i if negatives is None else negatives[i, n] or n == p)]
            terms.append(-np.log(scores[i, p] / sum(scores[i, n] for n in others)))
        losses += [np.mean(terms)] if own else []
    return float(np.mean(losses))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_the_loss_is_its_formula(seed: int, temperature: float) -> None:
    """SupCon, against all others; InfoNCE, a positive against the negatives."""
    features, positives, negatives = batch(seed)
    as_tensors = torch.from_numpy(positives), torch.from_numpy(negatives)
    loss = contrastive_loss(features, as_tensors[0], temperature)
    assert float(loss) == pytest.approx(by_hand(features, positives, temperature, None))
    loss = contrastive_loss(features, as_tensors[0], temperature, as_tensors[1])
    assert float(loss) == pytest.approx(by_hand(features, positives, temperature, negatives))


def test_against_all_others_it_is_the_cross_entropy_to_an_even_distribution_over_positives() -> None:
    """As StableRep writes it."""
    features = torch.randn(8, 5, generator=torch.Generator().manual_seed(0))
    prompts = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2])
    same = (prompts[:, None] == prompts) & ~torch.eye(8, dtype=torch.bool)
    normal = F.normalize(features, dim=1)
    logits = (normal @ normal.T / 0.1).masked_fill(torch.eye(8, dtype=torch.bool), -1e9)
    expected = F.cross_entropy(logits, same.float() / same.sum(dim=1, keepdim=True))
    assert float(contrastive_loss(features, same, 0.1)) == pytest.approx(float(expected), rel=1e-5)


def test_without_an_anchor_or_a_negative_it_is_0_and_has_gradients() -> None:
    none = torch.zeros(4, 4, dtype=torch.bool)
    for positives, negatives in ((none, None), (none, none), (torch.ones(4, 4, dtype=torch.bool), none)):
        features = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
        loss = contrastive_loss(features, positives, 0.1, negatives)
        loss.backward()
        assert float(loss.detach()) == 0
        assert features.grad is not None
        assert torch.isfinite(features.grad).all()


def test_its_class_elsewhere_is_a_positive_and_other_classes_there_are_negatives() -> None:
    targets, backgrounds = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1])
    positives, negatives = masks(targets, backgrounds)
    assert positives.nonzero().tolist() == [[0, 1], [1, 0], [2, 3], [3, 2]]
    assert negatives.nonzero().tolist() == [[0, 2], [1, 3], [2, 0], [3, 1]]


def exchanged(size: int, seed: int) -> Examples:
    """Every class on the other's background, by the class that this comes with."""
    other = shortcut(0, size, seed)
    return replace(other, groups=[CLASSES[GROUPS.index(str(group))] for group in other.groups])


def test_of_a_generated_image_the_background_is_that_of_the_class_that_it_was_painted_into() -> None:
    generated = Examples([], ["plain", "blue", "blue"], ["blue", "blue", None])
    assert background_numbers(generated, CLASSES).tolist() == [1, 1, 1]
    assert background_numbers(exchanged(2, 0), CLASSES).tolist() == [1, 1, 0, 0]


def fitted(recipe: str, seed: int = 0) -> Classifier:
    generated = Feed(exchanged(40, 5), CLASSES)
    return train(task(shortcut(40, 0), None, generated=generated, recipe=recipe, seed=seed, steps=60))


def excess(model: Classifier) -> float:
    """By how much the features of a class on two backgrounds are more alike than those of two classes on one: cosines."""
    test = shortcut(20, 20, seed=9)
    features = F.normalize(model.features(test.images), dim=1)
    means = {}
    for label in CLASSES:
        for group in GROUPS:
            rows = [n for n, kind in enumerate(zip(test.labels, test.groups, strict=True)) if kind == (label, group)]
            means[label, group] = features[rows].mean(dim=0)
    alike = sum(float(means[label, "pale"] @ means[label, "red"]) for label in CLASSES)
    return (alike - sum(float(means["plain", group] @ means["blue", group]) for group in GROUPS)) / 2


def test_features_of_a_class_are_drawn_together_across_backgrounds() -> None:
    model, mixed = fitted("contrastive"), fitted("mixed")
    assert excess(model) > excess(mixed) + 0.2
    assert scored(model, shortcut(20, 20, seed=9)).average > 0.8


def test_the_seed_alone_decides() -> None:
    first, again, other = (fitted("contrastive", seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)
