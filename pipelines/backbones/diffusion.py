"""The noise schedule of diffusion in discrete time (DDPM, Ho et al. 2020, arXiv 2006.11239), by DDIM's timesteps.

Symbol: abar = cumulative alpha of a timestep; alpha = sqrt(abar), sigma = sqrt(1 - abar).
"""

from dataclasses import dataclass

import numpy as np
import torch
from diffusers import DDIMScheduler, SchedulerMixin
from torch import Tensor

from pipelines.backbones.schedule import Level, Step
from pipelines.backbones.scheduler_config import check_diffusion


@dataclass(frozen=True)
class DiffusionSchedule:
    """Timesteps are integers, 0 <= t < T."""

    abar: Tensor  # (T,), float32
    final_abar: Tensor  # (), float32: after the last step
    prediction: str  # prediction type: epsilon, v_prediction or sample
    spacing: str  # timestep_spacing: leading, trailing or linspace
    offset: int  # steps_offset, of leading spacing

    @classmethod
    def of(cls, scheduler: SchedulerMixin) -> "DiffusionSchedule":
        """Read the schedule of a discrete-time scheduler. Raises ModelError for any other, such as flow matching."""
        check_diffusion(type(scheduler).__name__, scheduler.config)
        ddim = DDIMScheduler.from_config(scheduler.config)
        return cls(
            abar=ddim.alphas_cumprod,
            final_abar=ddim.final_alpha_cumprod,
            prediction=ddim.config.prediction_type,
            spacing=ddim.config.timestep_spacing,
            offset=ddim.config.steps_offset,
        )

    def timesteps(self, steps: int) -> list[int]:
        """The `steps` timesteps of a full run, from noise to image, by the checkpoint's timestep_spacing."""
        total = len(self.abar)
        if self.spacing == "trailing":
            spaced = np.round(np.arange(total, 0, -total / steps)) - 1
        elif self.spacing == "linspace":
            spaced = np.linspace(0, total - 1, steps).round()[::-1]
        else:
            spaced = (np.arange(steps) * (total // steps))[::-1] + self.offset
        return [int(t) for t in spaced]

    def level(self, t: int) -> Level:
        """The noise level of a timestep; of a negative one, that after the last step."""
        abar = self.abar[t] if t >= 0 else self.final_abar
        return Level(float(abar.sqrt()), float((1 - abar).sqrt()))

    def plan(self, steps: int, strength: float, patches: int) -> list[Step]:
        kept = self.timesteps(steps)[-max(1, min(steps, int(steps * strength + 1e-9))) :]
        return [Step(t, self.level(t), self.level(t - len(self.abar) // steps)) for t in kept]

    def draw(self, count: int, patches: int, generator: torch.Generator) -> tuple[Tensor, list[Level]]:
        """Uniform timesteps, int64."""
        t = torch.randint(len(self.abar), (count,), generator=generator)
        return t, [self.level(one) for one in t.tolist()]
