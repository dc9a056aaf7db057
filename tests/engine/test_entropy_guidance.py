"""Entropy guidance: its gradient against finite differences, a step against the paper's formula, and that images are led to
where the classifier is unsure. Six seconds."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from pipelines.backbones.backbone import Backbone
from pipelines.backbones.schedule import Levels
from pipelines.engine.engine import Engine
from pipelines.engine.entropy_guidance import entropy, entropy_gradient, lead, middle
from pipelines.engine.solver import predicted_x0
from pipelines.filters.entropy import entropy as entropy_of_shares
from pipelines.records import Image, Request
from pipelines.vision.classifier import Classifier, probabilities
from tests.engine.test_engine import mixture, near, request

CLASSES = ("boot", "sneaker", "bag")


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    """Of random weights, so that it is sure of something."""
    torch.manual_seed(0)
    net = Classifier(CLASSES).eval()
    torch.nn.init.normal_(net.last_layer.weight, std=0.5)
    return net


def drawn(model: Backbone, classifier: Classifier | None, requests: list[Request], capacity: int = 4) -> dict[int, Image]:
    candidates = list(Engine(model, capacity, classifier=classifier).run(requests))
    assert [candidate.failure for candidate in candidates] == [None] * len(requests)
    return {candidate.request.index: candidate.image for candidate in candidates}


def nats(classifier: Classifier, images: dict[int, Image]) -> float:
    return float(entropy_of_shares(probabilities(classifier.scores(list(images.values())))).mean())


def test_the_entropy_is_the_filter_s() -> None:
    logits = torch.randn(9, 4, generator=torch.Generator().manual_seed(0)) * 5
    assert np.allclose(entropy(logits).numpy(), entropy_of_shares(probabilities(logits)), atol=1e-6)


def test_the_gradient_is_that_of_finite_differences(tiny_model: Backbone, classifier: Classifier) -> None:
    """In double precision, of each row its own."""
    x0 = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64) / 4
    exact = Classifier(CLASSES).eval()
    exact.load_state_dict(classifier.state_dict())
    exact.double()
    torch.manual_seed(2)
    weights = torch.randn(3, 4, 4, 4, dtype=torch.float64) / 20

    def decode(latents: Tensor) -> Tensor:
        return torch.nn.functional.conv_transpose2d(latents, weights.transpose(0, 1), stride=4)

    gradient = entropy_gradient(x0, decode, exact)
    for direction in torch.randn(4, *x0.shape[1:], generator=torch.Generator().manual_seed(3), dtype=torch.float64):
        after, before = (entropy(exact(middle(decode(x0 + step * direction).clamp(-1, 1)))) for step in (1e-6, -1e-6))
        assert torch.allclose((gradient * direction).sum(dim=(1, 2, 3)), (after - before) / 2e-6, rtol=1e-3, atol=1e-6)


def test_it_goes_through_the_autoencoder(tiny_model: Backbone, classifier: Classifier) -> None:
    x0 = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(4))
    with torch.inference_mode():
        gradient = entropy_gradient(x0, tiny_model.decode_latents, classifier)
    assert gradient.abs().max() > 0

    def at(latents: Tensor) -> float:
        return float(entropy(classifier(tiny_model.decode_latents(latents).clamp(-1, 1))))

    step = 1e-2 * gradient / gradient.norm()
    with torch.no_grad():
        assert at(x0 + step) > at(x0) > at(x0 - step)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_a_step_is_the_papers_formula(prediction: str) -> None:
    """eps less omega times the gradient with regard to xt; v and x0 follow from xt and eps."""
    xt, output, gradient = torch.randn(3, 2, 4, 8, 8, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    alpha = torch.tensor([0.6, 0.9], dtype=torch.float64).view(-1, 1, 1, 1)
    level, omega = Levels(alpha, (1 - alpha**2).sqrt()), torch.tensor([0.05, 0.3], dtype=torch.float64)
    x0 = predicted_x0(xt, output, level, prediction)
    eps = (xt - level.alpha * x0) / level.sigma
    led = eps - omega.view(-1, 1, 1, 1) * gradient / level.alpha
    assert torch.allclose(lead(x0, gradient, omega, level), (xt - level.sigma * led) / level.alpha)


def test_noise_alone_is_not_led() -> None:
    x0, level = torch.ones(1, 4, 8, 8), Levels(torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1))
    assert torch.equal(lead(x0, torch.ones_like(x0), torch.ones(1), level), x0)


def test_images_are_led_to_where_the_classifier_is_unsure(tiny_model: Backbone, classifier: Classifier) -> None:
    plain = [request(n) for n in range(6)]
    before = nats(classifier, drawn(tiny_model, classifier, plain))
    after = [
        nats(classifier, drawn(tiny_model, classifier, [replace(one, entropy_guidance=scale) for one in plain]))
        for scale in (0.3, 3.0)
    ]
    assert before < after[0] < after[1]


def test_each_row_is_led_by_its_own_scale_whatever_is_beside_it(tiny_model: Backbone, classifier: Classifier) -> None:
    """Of images from noise, from images and of parts; rows without are what they are without a classifier."""
    requests = [replace(one, entropy_guidance=2.0 * (one.index % 2)) for one in mixture()]
    together, unled = drawn(tiny_model, classifier, requests, 3), drawn(tiny_model, None, requests, 3)
    for one in requests:
        alone = drawn(tiny_model, classifier, [one])[one.index]
        assert near(together[one.index], alone)
        assert np.array_equal(together[one.index], unled[one.index]) == (one.entropy_guidance == 0)


def test_steps_outside_the_interval_are_not_led(tiny_model: Backbone, classifier: Classifier) -> None:
    one = request(0, steps=10, guidance=1.0, entropy_guidance=2.0)
    calls = list[int]()

    def counting(pictures: Tensor) -> Tensor:
        calls.append(len(pictures))
        return torch.as_tensor(classifier(pictures))

    for interval in ((0.0, 1.0), (0.2, 0.5)):
        list(Engine(tiny_model, 4, classifier=counting).run([replace(one, guidance_interval=interval)]))
    assert len(calls) == 10 + 3


def test_pictures_that_are_not_square_are_seen_in_their_middle(tiny_model: Backbone, classifier: Classifier) -> None:
    pixels = torch.arange(2 * 3 * 4 * 10).view(2, 3, 4, 10)
    assert torch.equal(middle(pixels), pixels[..., 3:7])
    wide = drawn(tiny_model, classifier, [request(0, size=(32, 48), entropy_guidance=1.0)])
    assert wide[0].shape == (32, 48, 3)
