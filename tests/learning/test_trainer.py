"""The optimisation itself: mixed precision's loss scale, batches in parts, and going on. Costs two seconds."""

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from pipelines.backbones.backbone import Backbone
from pipelines.errors import ModelError
from pipelines.learning.lora import LoraTraining
from pipelines.learning.textual_inversion import TextualInversion
from pipelines.learning.trainer import Trainer
from pipelines.spec import Inversion, Lora
from tests.builders import picture, square

SIZE = 4


def trainer(dtype: torch.dtype, weights: Tensor, factor: float = 1.0) -> Trainer:
    def losses(generator: torch.Generator, parts: int) -> list[Tensor]:
        return [(weights - torch.randn(SIZE, generator=generator)).square().mean() * factor]

    return Trainer({"weights": weights}, losses, lambda step: 1e-2, 0, dtype)


def zeros() -> Tensor:
    return torch.zeros(SIZE, requires_grad=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_training_that_goes_on_ends_as_one_that_was_never_stopped(dtype: torch.dtype) -> None:
    whole, begun, resumed = zeros(), zeros(), zeros()
    straight, first, second = (trainer(dtype, weights) for weights in (whole, begun, resumed))
    for _ in range(6):
        straight.step()
    for _ in range(3):
        first.step()
    second.restore(first.state())
    for _ in range(3):
        second.step()
    assert torch.equal(whole, resumed)
    assert straight.losses == second.losses
    assert straight.state() == second.state()


def test_the_loss_is_scaled_in_fp16_alone() -> None:
    assert trainer(torch.float16, zeros()).scaler.get_scale() > 1
    assert trainer(torch.bfloat16, zeros()).scaler.get_scale() == 1


def test_a_step_that_overflows_is_left_out_and_the_scale_halved() -> None:
    weights = zeros()
    overflowing = trainer(torch.float16, weights, factor=1e38)
    before = overflowing.scaler.get_scale()
    overflowing.step()
    assert torch.equal(weights, torch.zeros(SIZE))
    assert overflowing.scaler.get_scale() == before / 2
    resumed = trainer(torch.float16, zeros())
    resumed.restore(overflowing.state())
    assert resumed.scaler.get_scale() == before / 2


@pytest.fixture(params=["token", "LoRA"])
def learning(request: pytest.FixtureRequest, tiny_model: Backbone) -> Iterator[TextualInversion | LoraTraining]:
    images = [picture(0), picture(1)]
    if request.param == "token":
        yield TextualInversion(tiny_model, images, [square()] * 2, "<boot>", "shoe", Inversion(batch=5), seed=1)
    else:
        training = LoraTraining(tiny_model, images, ["a photo of a shoe"] * 2, Lora(batch=5, rank=2), seed=1)
        yield training
        training.weights()


def test_the_parts_of_a_batch_add_up_to_it(learning: TextualInversion | LoraTraining) -> None:
    """Rows are drawn once, so that a batch that is computed in parts has the same loss and gradients."""
    trainer, gradients, losses = learning.trainer, [], []
    for parts in (1, 2, 5):
        trainer.parts = parts
        losses.append(trainer.backward())
        gradients.append([weights.grad.clone() for weights in trainer.parameters.values() if weights.grad is not None])
    assert losses[1:] == pytest.approx([losses[0]] * 2, rel=1e-4)
    for other in gradients[1:]:
        for one, same in zip(other, gradients[0], strict=True):
            assert torch.allclose(one, same, rtol=1e-3, atol=1e-3 * float(same.abs().max()))


def test_memory_that_runs_out_makes_smaller_parts_then_activations_are_computed_again(tiny_model: Backbone) -> None:
    training = TextualInversion(tiny_model, [picture()], None, "<boot>", "shoe", Inversion(batch=3, masked=False), seed=1)
    predict, sizes = tiny_model.predict, []

    def limited(xt: Tensor, *arguments: Any) -> Tensor:
        sizes.append(len(xt))
        if len(xt) > 1 or not tiny_model.denoiser.is_gradient_checkpointing:
            raise torch.OutOfMemoryError
        return predict(xt, *arguments)

    tiny_model.predict = limited  # type: ignore[method-assign]
    assert math.isfinite(training.trainer.step())
    assert sizes == [3, 2, 1, 1, 1, 1]  # whole, in two, in four of which three have a row, and again
    tiny_model.predict = lambda *arguments: (_ for _ in ()).throw(torch.OutOfMemoryError())  # type: ignore[method-assign]
    with pytest.raises(ModelError, match="learning: the card's memory does not suffice"):
        training.trainer.step()
