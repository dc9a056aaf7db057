"""The solver against an independent oracle: diffusers' own schedulers."""

import itertools

import pytest
import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler

from pipelines.backbones.schedule import Schedule, add_noise, per_row, target
from pipelines.engine.solver import advance
from pipelines.errors import ModelError

PREDICTIONS = ("epsilon", "v_prediction", "sample")
SPACINGS = ("leading", "trailing", "linspace")


def oracle(prediction: str, spacing: str, *, offset: int = 1, zero: bool = False) -> DDIMScheduler:
    return DDIMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, prediction_type=prediction, clip_sample=False,
        timestep_spacing=spacing, steps_offset=offset, set_alpha_to_one=False, rescale_betas_zero_snr=zero,
    )  # fmt: skip


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("steps", [1, 7, 25, 50, 999])
def test_timesteps_are_those_of_diffusers(spacing: str, steps: int) -> None:
    scheduler = oracle("epsilon", spacing)
    scheduler.set_timesteps(steps)
    assert Schedule.of(scheduler).timesteps(steps) == scheduler.timesteps.tolist()


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("spacing", SPACINGS)
def test_a_whole_run_agrees_with_diffusers(prediction: str, spacing: str) -> None:
    scheduler = oracle(prediction, spacing)
    scheduler.set_timesteps(20)
    generator = torch.Generator().manual_seed(0)
    ours = theirs = torch.randn(2, 4, 8, 8, generator=generator)
    for step in Schedule.of(scheduler).plan(20, 1.0):
        output = torch.randn(2, 4, 8, 8, generator=generator)
        theirs = scheduler.step(output, step.t, theirs).prev_sample
        ours = advance(ours, output, per_row([step.abar] * 2, ours), per_row([step.abar_next] * 2, ours), prediction)
        assert (ours - theirs).abs().max() <= 2e-5 * theirs.abs().max()


def test_the_first_step_from_pure_noise_is_finite_with_zero_terminal_signal() -> None:
    schedule = Schedule.of(oracle("v_prediction", "trailing", zero=True))
    first = schedule.plan(10, 1.0)[0]
    x = torch.randn(1, 4, 8, 8)
    moved = advance(x, torch.zeros_like(x), per_row([first.abar], x), per_row([first.abar_next], x), "v_prediction")
    assert first.abar < 1e-6
    assert torch.isfinite(moved).all()


@pytest.mark.parametrize(("strength", "steps", "kept"), [(1.0, 20, 20), (0.5, 20, 10), (0.3, 10, 3), (0.01, 10, 1)])
def test_strength_keeps_the_last_share_of_the_steps(strength: float, steps: int, kept: int) -> None:
    schedule = Schedule.of(oracle("epsilon", "leading"))
    plan = schedule.plan(steps, strength)
    assert [step.t for step in plan] == schedule.timesteps(steps)[-kept:]
    assert all(a.abar_next == pytest.approx(b.abar) for a, b in itertools.pairwise(plan))


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_training_target_is_what_leads_back_to_the_image(prediction: str) -> None:
    x0, eps = torch.randn(2, 3, 4, 8, 8)
    abar = per_row([0.9, 0.5, 0.1], x0)
    xt = add_noise(x0, eps, abar)
    back = advance(xt, target(x0, eps, abar, prediction), abar, torch.ones_like(abar), prediction)
    assert torch.allclose(back, x0, atol=1e-5)


def test_rows_at_different_levels_advance_independently() -> None:
    schedule = Schedule.of(oracle("v_prediction", "trailing"))
    plan = schedule.plan(10, 1.0)
    x, output = torch.randn(2, 3, 4, 8, 8)
    mixed = [plan[0], plan[4], plan[9]]
    together = advance(
        x, output, per_row([s.abar for s in mixed], x), per_row([s.abar_next for s in mixed], x), "v_prediction"
    )
    for row, s in enumerate(mixed):
        one = slice(row, row + 1)
        alone = advance(x[one], output[one], per_row([s.abar], x), per_row([s.abar_next], x), "v_prediction")
        assert torch.equal(together[one], alone)


def test_flow_matching_is_refused_by_name() -> None:
    with pytest.raises(ModelError, match="FlowMatchEulerDiscreteScheduler"):
        Schedule.of(FlowMatchEulerDiscreteScheduler())
