"""Integrated gradients against what theory says of them."""

import numpy as np
import torch

from pipelines.records import Image
from pipelines.vision.attribution import attribution
from pipelines.vision.classifier import Classifier


def pair() -> tuple[Image, Image, np.ndarray]:  # type: ignore[type-arg]
    """An original, and the same with a bright square where the mask is."""
    original = np.random.default_rng(0).integers(0, 200, (32, 32, 3), dtype=np.uint8)
    mask = np.zeros((32, 32), dtype=np.bool_)
    mask[8:20, 4:16] = True
    return original, np.where(mask[..., None], 255, original).astype(np.uint8), mask


def test_the_sum_over_the_picture_is_the_change_of_the_logit() -> None:
    """Completeness (Sundararajan et al. 2017, proposition 1)."""
    torch.manual_seed(0)
    classifier = Classifier(["a", "b"])
    original, generated, mask = pair()
    rho = attribution(classifier, [original], [generated], [mask], ["b"], steps=200)
    change = (classifier.scores([generated]) - classifier.scores([original]))[0, 1]
    assert torch.allclose(rho[0], change, atol=0.02 * max(1, abs(float(change))))


def test_mask_original_and_generated_are_aligned() -> None:
    """All of the change lies in the mask, so the same mask elsewhere must get nothing."""
    classifier = Classifier(["a", "b"])
    original, generated, mask = pair()
    elsewhere = np.roll(mask, 16, axis=1) & ~mask
    assert attribution(classifier, [original], [generated], [elsewhere], ["a"], steps=8)[0] == 0
    assert attribution(classifier, [original], [generated], [mask], ["a"], steps=8)[0] != 0


def test_the_class_asked_for_is_the_class_attributed() -> None:
    torch.manual_seed(0)
    classifier = Classifier(["a", "b"])
    original, generated, mask = pair()
    both = attribution(classifier, [original] * 2, [generated] * 2, [mask] * 2, ["a", "b"], steps=64)
    change = (classifier.scores([generated]) - classifier.scores([original]))[0]
    assert torch.allclose(both, change, atol=0.05)


def test_an_unchanged_image_attributes_nothing() -> None:
    original, _, mask = pair()
    assert attribution(Classifier(["a", "b"]), [original], [original], [mask], ["a"], steps=4)[0] == 0


def test_nothing_in_nothing_out() -> None:
    assert attribution(Classifier(["a", "b"]), [], [], [], [], steps=4).shape == (0,)
