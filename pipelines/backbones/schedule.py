"""The noise schedule of a checkpoint: its timesteps, noising, and the target of its prediction.

Symbols: abar = cumulative alpha of a timestep; xt = sqrt(abar) x0 + sqrt(1 - abar) eps;
v = sqrt(abar) eps - sqrt(1 - abar) x0.
"""

from dataclasses import dataclass

import numpy as np
import torch
from diffusers import DDIMScheduler, SchedulerMixin
from torch import Tensor

from pipelines.errors import ModelError


@dataclass(frozen=True, slots=True)
class Step:
    t: int  # timestep of the prediction
    abar: float  # cumulative alpha there
    abar_next: float  # cumulative alpha after the step


@dataclass(frozen=True)
class Schedule:
    """The noise schedule of a checkpoint."""

    alphas_cumprod: Tensor  # (T,), float32
    final_abar: float  # cumulative alpha after the last step
    prediction: str  # prediction type: epsilon, v_prediction or sample
    spacing: str  # timestep_spacing: leading, trailing or linspace
    offset: int  # steps_offset, of leading spacing

    @classmethod
    def of(cls, scheduler: SchedulerMixin) -> "Schedule":
        """Read the schedule of a discrete-time scheduler. Raises ModelError for any other, such as flow matching."""
        if "beta_schedule" not in scheduler.config:
            raise ModelError(f"{type(scheduler).__name__}: only schedulers with a beta schedule are supported")
        ddim = DDIMScheduler.from_config(scheduler.config)
        if ddim.config.prediction_type not in ("epsilon", "v_prediction", "sample"):
            raise ModelError(f"prediction_type {ddim.config.prediction_type!r} is not epsilon, v_prediction or sample")
        return cls(
            alphas_cumprod=ddim.alphas_cumprod,
            final_abar=float(ddim.final_alpha_cumprod),
            prediction=ddim.config.prediction_type,
            spacing=ddim.config.timestep_spacing,
            offset=ddim.config.steps_offset,
        )

    def timesteps(self, steps: int) -> list[int]:
        """The `steps` timesteps of a full run, from noise to image, by the checkpoint's timestep_spacing."""
        total = len(self.alphas_cumprod)
        if self.spacing == "trailing":
            spaced = np.round(np.arange(total, 0, -total / steps)) - 1
        elif self.spacing == "linspace":
            spaced = np.linspace(0, total - 1, steps).round()[::-1]
        else:
            spaced = (np.arange(steps) * (total // steps))[::-1] + self.offset
        return [int(t) for t in spaced]

    def plan(self, steps: int, strength: float) -> list[Step]:
        """The last `strength`, 0 < strength <= 1, of a full run of `steps`, as in SDEdit: at least one step."""
        total = len(self.alphas_cumprod)
        kept = self.timesteps(steps)[-max(1, min(steps, int(steps * strength + 1e-9))) :]
        ends = [t - total // steps for t in kept]
        abar = [float(self.alphas_cumprod[t]) for t in kept]
        after = [float(self.alphas_cumprod[end]) if end >= 0 else self.final_abar for end in ends]
        return [Step(t, a, b) for t, a, b in zip(kept, abar, after, strict=True)]


def add_noise(x0: Tensor, eps: Tensor, abar: Tensor) -> Tensor:
    """The forward process: x0 at the noise level `abar`, with the noise `eps`."""
    return abar.sqrt() * x0 + (1 - abar).sqrt() * eps


def target(x0: Tensor, eps: Tensor, abar: Tensor, prediction: str) -> Tensor:
    """The training target of the prediction type: eps, x0 or v."""
    if prediction == "epsilon":
        return eps
    if prediction == "sample":
        return x0
    return abar.sqrt() * eps - (1 - abar).sqrt() * x0


def per_row(values: list[float], like: Tensor) -> Tensor:
    """Numbers of n rows as float32 (n, 1, 1, 1), to broadcast over (n, c, h, w)."""
    return torch.tensor(values, device=like.device, dtype=torch.float32).view(-1, 1, 1, 1)
