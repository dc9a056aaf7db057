"""The noise schedule of diffusion in discrete time (DDPM, Ho et al. 2020, arXiv 2006.11239), and the steps of its solvers.

Symbol: abar = cumulative alpha of a timestep; alpha = sqrt(abar), sigma = sqrt(1 - abar).
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, SchedulerMixin
from torch import Tensor

from pipelines.backbones.schedule import Level, Step
from pipelines.backbones.scheduler_config import MULTISTEP, check_diffusion, default_solver
from pipelines.backbones.solvers import first_order, second_order
from pipelines.errors import ModelError

SHORT_RUN = 15  # steps below which `lower_order_final` holds, as in diffusers


@dataclass(frozen=True)
class DiffusionSchedule:
    """Timesteps are integers, 0 <= t < T."""

    abar: Tensor  # (T,), float32
    final_abar: Tensor  # (), float32: after the last step
    prediction: str  # prediction type: epsilon, v_prediction or sample
    spacing: str  # timestep_spacing: leading, trailing or linspace
    offset: int  # steps_offset, of leading spacing
    multistep: DPMSolverMultistepScheduler  # diffusers', which says DPM-Solver++'s timesteps and sigmas (Karras's, too)
    solver: str  # that "auto" stands for

    @classmethod
    def of(cls, scheduler: SchedulerMixin) -> "DiffusionSchedule":
        """Read the schedule of a discrete-time scheduler. Raises ModelError for any other, such as flow matching."""
        name = type(scheduler).__name__
        check_diffusion(name, scheduler.config)
        ddim = DDIMScheduler.from_config(scheduler.config)
        return cls(
            abar=ddim.alphas_cumprod,
            final_abar=ddim.final_alpha_cumprod,
            prediction=ddim.config.prediction_type,
            spacing=ddim.config.timestep_spacing,
            offset=ddim.config.steps_offset,
            multistep=DPMSolverMultistepScheduler.from_config(scheduler.config, **MULTISTEP),
            solver=default_solver(name, scheduler.config),
        )

    def timesteps(self, steps: int) -> list[int]:
        """DDIM's `steps` timesteps of a full run, from noise to image, by the checkpoint's timestep_spacing."""
        total = len(self.abar)
        if self.spacing == "trailing":
            spaced = np.round(np.arange(total, 0, -total / steps)) - 1
        elif self.spacing == "linspace":
            spaced = np.linspace(0, total - 1, steps).round()[::-1]
        else:
            spaced = (np.arange(steps) * (total // steps))[::-1] + self.offset
        # By rounding, trailing ones may be one too many, -1; of T steps, leading ones reach beyond it by the offset.
        return [min(int(t), total - 1) for t in spaced[:steps]]

    def level(self, t: int) -> Level:
        """The noise level of a timestep; of a negative one, that after the last step."""
        abar = self.abar[t] if t >= 0 else self.final_abar
        return Level(float(abar.sqrt()), float((1 - abar).sqrt()))

    def plan(self, steps: int, strength: float, patches: int, solver: str = "auto") -> list[Step]:
        kept = max(1, min(steps, int(steps * strength + 1e-9)))
        solver = self.solver if solver == "auto" else solver
        if solver not in ("ddim", "dpmsolver++"):
            raise ModelError(f"method.solver: {solver!r} is no solver of diffusion; set it to auto, ddim or dpmsolver++")
        return self.ddim(steps, kept) if solver == "ddim" else self.dpmsolver(steps, kept)

    def ddim(self, steps: int, kept: int) -> list[Step]:
        """The last `kept` steps of a full run."""
        plan = []
        for index, t in list(enumerate(self.timesteps(steps)))[-kept:]:
            level, level_next = self.level(t), self.level(t - len(self.abar) // steps)
            plan.append(Step(t, level, level_next, first_order(level, level_next), index / steps))
        return plan

    def dpmsolver(self, steps: int, kept: int) -> list[Step]:
        """The last `kept` steps of a full run: of first order is the first of them, and of a short run the last."""
        self.multistep.set_timesteps(steps)
        timesteps, config = self.multistep.timesteps.tolist(), self.multistep.config
        *levels, final = (level_at(ratio) for ratio in self.multistep.sigmas.tolist())
        levels = [*levels[:steps], final]
        lowered = config.euler_at_final or (config.lower_order_final and steps < SHORT_RUN)
        plan: list[Step] = []
        for index in range(steps - kept, steps):
            level, level_next = levels[index], levels[index + 1]
            previous = plan[-1].level if plan and not (lowered and index == steps - 1) else None
            weights = second_order(previous, level, level_next)
            plan.append(Step(timesteps[index], level, level_next, weights, index / steps))
        return plan

    def draw(self, count: int, patches: int, generator: torch.Generator) -> tuple[Tensor, list[Level]]:
        """Uniform timesteps, int64."""
        t = torch.randint(len(self.abar), (count,), generator=generator)
        return t, [self.level(one) for one in t.tolist()]


def level_at(ratio: float) -> Level:
    """The noise level at which sigma / alpha is `ratio`."""
    norm = math.hypot(1, ratio)
    return Level(1 / norm, ratio / norm)
