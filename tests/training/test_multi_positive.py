"""Multi-positive contrastive learning: what a batch holds, and what features and last layer learn. Ten seconds."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from pipelines.errors import SpecError
from pipelines.records import Examples
from pipelines.spec import parse
from pipelines.training.batches import Feed
from pipelines.training.fit import train
from pipelines.training.multi_positive import draws, group_numbers
from pipelines.vision.classifier import Classifier
from tests.builders import spec
from tests.training.shortcut import CLASSES, scored, shortcut, task


def siblings() -> Examples:
    """Groups of five of a class, each on one background."""
    generated = shortcut(30, 30, seed=5)
    return replace(generated, groups=[f"{number // 5:08d}" for number in range(len(generated))])


def test_images_without_a_group_belong_with_those_of_their_class() -> None:
    examples = Examples([], ["boot", "boot", "shoe", "boot", "shoe"], ["a", "b", "a", None, None])
    assert group_numbers(examples).tolist() == [0, 1, 0, 2, 3]


@pytest.mark.parametrize(("batch", "groups"), [(32, 5), (6, 2), (96, 16)])
def test_a_batch_has_six_images_of_each_of_its_groups(batch: int, groups: int) -> None:
    feed, numbers = Feed(siblings(), CLASSES), group_numbers(siblings())
    kinds = set()
    for draw in draws(feed, numbers, 4, batch, torch.Generator().manual_seed(0)):
        counts = numbers[draw.rows].bincount()
        assert counts[counts > 0].tolist() == [6] * groups
        assert len(draw.mirrored) == len(draw.shift) == len(draw.rows)
        kinds.add(tuple(counts.tolist()))
    assert len(kinds) > 1
    few = torch.arange(2).repeat_interleave(60)
    (draw,) = draws(feed, few, 1, 32, torch.Generator().manual_seed(0))
    assert few[draw.rows].bincount().tolist() in ([18, 12], [12, 18])


def fitted(steps: int, real: Examples, generated: Examples) -> Classifier:
    return train(task(real, None, generated=Feed(generated, CLASSES), recipe="multi_positive", steps=steps))


def alike(model: Classifier, generated: Examples) -> float:
    """By how much the mean cosine of siblings is above that of others."""
    features, groups = F.normalize(model.features(generated.images), dim=1), group_numbers(generated)
    same, cosines = groups[:, None] == groups, features @ features.T
    others = ~torch.eye(len(groups), dtype=torch.bool)
    return float(cosines[same & others].mean() - cosines[~same].mean())


def test_siblings_are_drawn_together_and_the_last_layer_knows_the_classes_of_real_images() -> None:
    generated, real = siblings(), shortcut(40, 40)
    trained, begun = fitted(80, real, generated), fitted(2, real, generated)
    assert alike(trained, generated) > alike(begun, generated) + 0.1
    swapped = replace(real, labels=[CLASSES[1 - CLASSES.index(label)] for label in real.labels])
    test = shortcut(20, 20, seed=9)
    accuracies = [scored(fitted(80, images, generated), test).average for images in (real, swapped)]
    assert accuracies[0] > accuracies[1] + 0.2, "labels come from real images alone"


@pytest.mark.parametrize("method", [{"type": "text_to_image"}, {"type": "image_variation"}])
def test_it_needs_siblings(method: dict[str, Any]) -> None:
    document = {**spec().model_dump(mode="json"), "method": method, "evaluation": {"recipe": "multi_positive"}}
    with pytest.raises(SpecError, match=r"evaluation\.recipe: multi_positive needs several images of a prompt"):
        parse(document)
