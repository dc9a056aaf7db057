"""The optimisation itself: mixed precision's loss scale, and going on with it."""

import pytest
import torch
from torch import Tensor

from pipelines.learning.trainer import Trainer

SIZE = 4


def trainer(dtype: torch.dtype, weights: Tensor, factor: float = 1.0) -> Trainer:
    def loss(generator: torch.Generator) -> Tensor:
        return (weights - torch.randn(SIZE, generator=generator)).square().mean() * factor

    return Trainer({"weights": weights}, loss, lambda step: 1e-2, 0, dtype)


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
