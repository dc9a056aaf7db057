"""The noise schedule of rectified flows, as Stable Diffusion 3 and Flux are trained (Esser et al. 2024, arXiv 2403.03206).

alpha = 1 - sigma, and a timestep is 1000 sigma. Larger images keep more of their signal at a given sigma, so sigmas are
shifted towards noise: by a constant of the checkpoint, or, dynamically, by the number of an image's patches.
"""

import math
from typing import Literal

import numpy as np
import torch
from diffusers import SchedulerMixin
from torch import Tensor

from pipelines.backbones.schedule import Level, Step
from pipelines.backbones.scheduler_config import check_flow
from pipelines.backbones.solvers import first_order
from pipelines.errors import ModelError


class FlowSchedule:
    """Diffusers' own scheduler says the sigmas; the solver's step on them is Euler's.

    `spacing` of the sigmas, before they are shifted: "linspace" from the largest to the smallest, as Stable Diffusion 3's
    pipelines have it, or "trailing", from 1 to 1 / steps, as Flux's.
    """

    prediction = "flow"

    def __init__(self, scheduler: SchedulerMixin, spacing: Literal["linspace", "trailing"]) -> None:
        """Raises ModelError for another solver than Euler's, or a variant that is random or runs backwards."""
        check_flow(type(scheduler).__name__, scheduler.config)
        self.scheduler, self.spacing = scheduler, spacing

    def shift(self, patches: int) -> float | None:
        """The exponent mu of dynamic shifting, linear in the number of patches; None where the shift is constant."""
        config = self.scheduler.config
        if not config.use_dynamic_shifting:
            return None
        share = (patches - config.base_image_seq_len) / (config.max_image_seq_len - config.base_image_seq_len)
        return float(config.base_shift + share * (config.max_shift - config.base_shift))

    def plan(self, steps: int, strength: float, patches: int, solver: str = "auto") -> list[Step]:
        if solver != "auto":
            raise ModelError(f"method.solver: {solver!r} solves no flow, whose steps are Euler's here; set it to auto")
        sigmas = np.linspace(1, 1 / steps, steps).tolist() if self.spacing == "trailing" else None
        self.scheduler.set_timesteps(steps, sigmas=sigmas, mu=self.shift(patches))
        levels = [Level(1 - sigma, sigma) for sigma in self.scheduler.sigmas.tolist()]
        whole = [
            Step(t, now, after, first_order(now, after), index / steps)
            for index, (t, now, after) in enumerate(
                zip(self.scheduler.timesteps.tolist(), levels[:-1], levels[1:], strict=True)
            )
        ]
        # Rounded up, as in the image-to-image pipelines of flow matching; those of diffusion round down.
        return whole[-max(1, min(steps, math.ceil(steps * strength - 1e-9))) :]

    def draw(self, count: int, patches: int, generator: torch.Generator) -> tuple[Tensor, list[Level]]:
        """Timesteps, float32, whose sigmas are logit-normal, as in the paper, then shifted as those of its steps are."""
        sigma, mu = torch.randn(count, generator=generator).sigmoid(), self.shift(patches)
        if mu is None:
            shift = self.scheduler.shift
            sigma = shift * sigma / (1 + (shift - 1) * sigma)
        else:
            sigma = self.scheduler.time_shift(mu, 1.0, sigma)
        return sigma * self.scheduler.config.num_train_timesteps, [Level(1 - one, one) for one in sigma.tolist()]
