"""The solvers against an independent oracle: diffusers' own schedulers. Costs three seconds."""

import itertools
import math
from typing import Any

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
)
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
from torch import Tensor

from pipelines.backbones.diffusion import DiffusionSchedule
from pipelines.backbones.flow_matching import FlowSchedule
from pipelines.backbones.schedule import Level, Levels, Step, add_noise, target
from pipelines.engine.solver import advance, predicted_x0
from pipelines.errors import ModelError

PREDICTIONS = ("epsilon", "v_prediction", "sample")
SPACINGS = ("leading", "trailing", "linspace")
NOISE = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
PATCHES = 1024


def oracle(prediction: str, spacing: str, *, offset: int = 1, zero: bool = False) -> DDIMScheduler:
    return DDIMScheduler(
        **NOISE, prediction_type=prediction, clip_sample=False, timestep_spacing=spacing, steps_offset=offset,
        set_alpha_to_one=False, rescale_betas_zero_snr=zero,
    )  # fmt: skip


def step(x: Tensor, output: Tensor, steps: list[Step], prediction: str) -> Tensor:
    """One step of first order for rows, each at its own place in its plan."""
    x0 = predicted_x0(x, output, Levels.of([s.level for s in steps], x), prediction)
    return advance(x, x0, torch.zeros_like(x), torch.tensor([s.weights for s in steps]))


def denoise(x: Tensor, t: float) -> Tensor:
    """In a denoiser's place: a smooth function that is linear in neither."""
    return torch.tanh(0.7 * x.roll(1, -1) - 0.4 * x + t / 700 - 0.5)


def run(x: Tensor, plan: list[Step], prediction: str) -> Tensor:
    """All steps of rows that are alike."""
    x0_previous = torch.zeros_like(x)
    for one in plan:
        x0 = predicted_x0(x, denoise(x, one.t), Levels.of([one.level] * len(x), x), prediction)
        x, x0_previous = advance(x, x0, x0_previous, torch.tensor([one.weights] * len(x))), x0
    return x


def theirs(x: Tensor, scheduler: DDIMScheduler | DPMSolverMultistepScheduler, steps: int, strength: float) -> Tensor:
    """As diffusers' pipelines from image to image do it."""
    scheduler.set_timesteps(steps)
    first = steps - max(1, int(steps * strength))
    if isinstance(scheduler, DPMSolverMultistepScheduler):
        scheduler.set_begin_index(first)
    for t in scheduler.timesteps[first:]:
        x = scheduler.step(denoise(x, t.item()), t, x).prev_sample
    return x


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("steps", [1, 7, 25, 50, 999])
def test_timesteps_are_those_of_diffusers(spacing: str, steps: int) -> None:
    scheduler = oracle("epsilon", spacing)
    scheduler.set_timesteps(steps)
    assert DiffusionSchedule.of(scheduler).timesteps(steps) == scheduler.timesteps.tolist()


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("spacing", SPACINGS)
def test_a_whole_run_agrees_with_diffusers(prediction: str, spacing: str) -> None:
    scheduler = oracle(prediction, spacing)
    scheduler.set_timesteps(20)
    generator = torch.Generator().manual_seed(0)
    ours = theirs = torch.randn(2, 4, 8, 8, generator=generator)
    for one in DiffusionSchedule.of(scheduler).plan(20, 1.0, PATCHES):
        output = torch.randn(2, 4, 8, 8, generator=generator)
        theirs = scheduler.step(output, one.t, theirs).prev_sample
        ours = step(ours, output, [one] * 2, prediction)
        assert (ours - theirs).abs().max() <= 2e-5 * theirs.abs().max()


@pytest.mark.parametrize("solver", ["ddim", "dpmsolver++", "Karras"])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("spacing", SPACINGS)
def test_runs_agree_with_diffusers_whatever_their_length_and_strength(solver: str, prediction: str, spacing: str) -> None:
    settings = {**NOISE, "prediction_type": prediction, "timestep_spacing": spacing, "steps_offset": 1}
    scheduler = (
        oracle(prediction, spacing) if solver == "ddim"
        else DPMSolverMultistepScheduler(**settings, use_karras_sigmas=solver == "Karras")
    )  # fmt: skip
    schedule = DiffusionSchedule.of(scheduler)
    x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    for steps, strength in itertools.product((1, 2, 5, 20), (0.5, 1.0)):
        plan = schedule.plan(steps, strength, PATCHES)
        expected = theirs(x, scheduler, steps, strength)
        assert [one.t for one in plan] == scheduler.timesteps.tolist()[-len(plan) :]
        assert (run(x, plan, prediction) - expected).abs().max() <= 2e-5 * expected.abs().max()


@pytest.mark.parametrize(
    "settings",
    [
        {"final_sigmas_type": "sigma_min"},
        {"final_sigmas_type": "sigma_min", "euler_at_final": True},
        {"final_sigmas_type": "sigma_min", "lower_order_final": False},
        {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction", "timestep_spacing": "trailing"},
        {"use_lu_lambdas": True},
        {"beta_schedule": "squaredcos_cap_v2", "lambda_min_clipped": -5.1},
        {"prediction_type": "sample"},
    ],
    ids=str,
)
def test_settings_of_the_multistep_solver_are_honoured(settings: dict[str, Any]) -> None:
    scheduler = DPMSolverMultistepScheduler(**{**NOISE, **settings})
    schedule = DiffusionSchedule.of(scheduler)
    x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    for steps in (5, 20):
        expected = theirs(x, scheduler, steps, 1.0)
        ours = run(x, schedule.plan(steps, 1.0, PATCHES), schedule.prediction)
        assert (ours - expected).abs().max() <= 2e-5 * expected.abs().max()


def test_a_step_of_second_order_needs_the_prediction_before() -> None:
    plan = DiffusionSchedule.of(oracle("epsilon", "leading")).plan(20, 1.0, PATCHES, "dpmsolver++")
    assert [one.weights.x0_previous != 0 for one in plan] == [False, *[True] * 18, False]


@pytest.mark.parametrize("solver", ["ddim", "dpmsolver++"])
@pytest.mark.parametrize("spacing", SPACINGS)
def test_every_number_of_steps_has_a_finite_plan(solver: str, spacing: str) -> None:
    schedule = DiffusionSchedule.of(oracle("v_prediction", spacing, zero=True))
    for steps in (1, 2, 61, 103, 501, 999, 1000):
        plan = schedule.plan(steps, 1.0, PATCHES, solver)
        assert [one.start for one in plan] == [index / steps for index in range(steps)]
        assert all(math.isfinite(weight) for one in plan for weight in one.weights)
        assert min(one.t for one in plan) >= 0


@pytest.mark.parametrize(
    ("scheduler", "solver"),
    [
        (DPMSolverMultistepScheduler(**NOISE), "dpmsolver++"),
        (DPMSolverMultistepScheduler(**NOISE, use_karras_sigmas=True), "dpmsolver++"),
        (DPMSolverMultistepScheduler(**NOISE, solver_order=3), "ddim"),
        (DPMSolverMultistepScheduler(**NOISE, algorithm_type="sde-dpmsolver++"), "ddim"),
        (DDIMScheduler(**NOISE), "ddim"),
        (EulerDiscreteScheduler(**NOISE, use_karras_sigmas=True), "ddim"),
    ],
)
def test_the_scheduler_of_a_checkpoint_says_the_solver(scheduler: Any, solver: str) -> None:
    schedule = DiffusionSchedule.of(scheduler)
    assert schedule.plan(20, 1.0, PATCHES) == schedule.plan(20, 1.0, PATCHES, solver)


def test_a_solver_of_another_kind_of_schedule_is_refused() -> None:
    flow = FlowSchedule(FlowMatchEulerDiscreteScheduler(shift=3.0), "linspace")
    with pytest.raises(ModelError, match=r"method\.solver: 'ddim' solves no flow, .*; set it to auto"):
        flow.plan(20, 1.0, PATCHES, "ddim")
    with pytest.raises(ModelError, match=r"method\.solver: 'heun' is no solver of diffusion; set it to auto"):
        DiffusionSchedule.of(oracle("epsilon", "leading")).plan(20, 1.0, PATCHES, "heun")


@pytest.mark.parametrize("dynamic", [False, True], ids=["constant shift", "dynamic shift"])
@pytest.mark.parametrize("spacing", ["linspace", "trailing"])
def test_a_whole_run_of_flow_matching_agrees_with_diffusers(spacing: str, dynamic: bool) -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=dynamic)
    plan = FlowSchedule(scheduler, spacing).plan(20, 1.0, PATCHES)  # type: ignore[arg-type]
    expected = FlowMatchEulerDiscreteScheduler.from_config(scheduler.config)
    sigmas = None if spacing == "linspace" else torch.linspace(1, 1 / 20, 20).tolist()
    expected.set_timesteps(20, sigmas=sigmas, mu=calculate_shift(PATCHES) if dynamic else None)
    assert [one.t for one in plan] == pytest.approx(expected.timesteps.tolist(), rel=1e-6)
    generator = torch.Generator().manual_seed(0)
    ours = theirs = torch.randn(2, 16, 8, 8, generator=generator)
    for one, t in zip(plan, expected.timesteps, strict=True):
        output = torch.randn(2, 16, 8, 8, generator=generator)
        theirs = expected.step(output, t, theirs).prev_sample
        ours = step(ours, output, [one] * 2, "flow")
        assert (ours - theirs).abs().max() <= 2e-5 * theirs.abs().max()


@pytest.mark.parametrize("steps", [1, 2, 4, 8])
def test_of_few_trailing_steps_it_agrees_with_eulers_solver(steps: int) -> None:
    """Distilled checkpoints are made for it. Its latents are ours, divided by alpha."""
    euler = EulerDiscreteScheduler(**NOISE, timestep_spacing="trailing")
    euler.set_timesteps(steps)
    plan = DiffusionSchedule.of(euler).plan(steps, 1.0, PATCHES)
    assert [one.t for one in plan] == euler.timesteps.tolist()
    generator = torch.Generator().manual_seed(0)
    ours = torch.randn(2, 4, 8, 8, generator=generator)
    theirs = ours / plan[0].level.alpha
    for one, t in zip(plan, euler.timesteps, strict=True):
        assert torch.allclose(euler.scale_model_input(theirs, t), ours, rtol=1e-4, atol=1e-4), "what the UNet is given"
        output = torch.randn(2, 4, 8, 8, generator=generator)
        theirs = euler.step(output, t, theirs).prev_sample
        ours = step(ours, output, [one] * 2, "epsilon")
    assert (ours - theirs).abs().max() <= 1e-4 * theirs.abs().max()


def test_the_first_step_from_pure_noise_is_finite_with_zero_terminal_signal() -> None:
    first = DiffusionSchedule.of(oracle("v_prediction", "trailing", zero=True)).plan(10, 1.0, PATCHES)[0]
    x = torch.randn(1, 4, 8, 8)
    assert first.level.alpha < 1e-3
    assert torch.isfinite(step(x, torch.zeros_like(x), [first], "v_prediction")).all()


@pytest.mark.parametrize(("strength", "steps", "kept"), [(1.0, 20, 20), (0.5, 20, 10), (0.3, 10, 3), (0.01, 10, 1)])
def test_strength_keeps_the_last_share_of_the_steps(strength: float, steps: int, kept: int) -> None:
    flow = FlowSchedule(FlowMatchEulerDiscreteScheduler(shift=3.0), "linspace")
    for schedule in (DiffusionSchedule.of(oracle("epsilon", "leading")), flow):
        plan = schedule.plan(steps, strength, PATCHES)
        assert plan == schedule.plan(steps, 1.0, PATCHES)[-kept:]
        assert all(a.level_next == pytest.approx(b.level) for a, b in itertools.pairwise(plan))


@pytest.mark.parametrize("prediction", [*PREDICTIONS, "flow"])
def test_the_training_target_is_what_leads_back_to_the_image(prediction: str) -> None:
    x0, eps = torch.randn(2, 3, 4, 8, 8)
    pairs = [Level(1 - s, s) if prediction == "flow" else Level((1 - s**2) ** 0.5, s) for s in (0.1, 0.5, 0.9)]
    levels = Levels.of(pairs, x0)
    back = predicted_x0(add_noise(x0, eps, levels), target(x0, eps, levels, prediction), levels, prediction)
    assert torch.allclose(back, x0, atol=1e-5)


def test_rows_at_different_levels_advance_independently() -> None:
    plan = DiffusionSchedule.of(oracle("v_prediction", "trailing")).plan(10, 1.0, PATCHES)
    x, output = torch.randn(2, 3, 4, 8, 8)
    mixed = [plan[0], plan[4], plan[9]]
    together = step(x, output, mixed, "v_prediction")
    for row, one in enumerate(mixed):
        part = slice(row, row + 1)
        assert torch.equal(together[part], step(x[part], output[part], [one], "v_prediction"))


def test_diffusion_is_trained_at_every_timestep_alike_with_the_noise_of_ddpm() -> None:
    schedule, ddpm = DiffusionSchedule.of(oracle("epsilon", "leading")), DDPMScheduler(**NOISE)
    t, levels = schedule.draw(4000, PATCHES, torch.Generator().manual_seed(0))
    assert t.float().mean() == pytest.approx(499.5, rel=0.03)
    assert 0 <= t.min() < 5 and 995 <= t.max() < 1000  # noqa: PT018
    x0, eps = torch.randn(2, 4000, 1, 1, 1)
    assert torch.allclose(add_noise(x0, eps, Levels.of(levels, x0)), ddpm.add_noise(x0, eps, t), atol=1e-6)


@pytest.mark.parametrize("dynamic", [False, True], ids=["constant shift", "dynamic shift"])
def test_a_flow_is_trained_at_logit_normal_levels_that_are_shifted_as_its_steps(dynamic: bool) -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=dynamic)
    t, levels = FlowSchedule(scheduler, "linspace").draw(4000, PATCHES, torch.Generator().manual_seed(0))
    sigma = torch.tensor([level.sigma for level in levels])
    assert torch.allclose(t, 1000 * sigma)
    # The median of a logit-normal is 1/2. A shift by s is an addition of log(s) in logits.
    logits = sigma.logit()
    assert logits.mean() == pytest.approx(calculate_shift(PATCHES) if dynamic else math.log(3), abs=0.06)
    assert logits.std() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(
    ("scheduler", "message"),
    [
        (FlowMatchHeunDiscreteScheduler(), "only FlowMatchEulerDiscreteScheduler is supported"),
        (FlowMatchEulerDiscreteScheduler(stochastic_sampling=True), "stochastic_sampling is not supported"),
        (DDIMScheduler(), "only FlowMatchEulerDiscreteScheduler is supported"),
    ],
)
def test_other_solvers_of_flow_matching_are_refused_by_name(scheduler: object, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        FlowSchedule(scheduler, "linspace")


def test_flow_matching_is_no_diffusion() -> None:
    with pytest.raises(ModelError, match="FlowMatchEulerDiscreteScheduler"):
        DiffusionSchedule.of(FlowMatchEulerDiscreteScheduler())
