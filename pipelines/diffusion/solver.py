"""DDIM (Song et al. 2021, arXiv 2010.02502) for rows that stand at different noise levels.

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
    t: int  # timestep that the model is asked at
    abar: float  # there
    abar_next: float  # where the step leads


@dataclass(frozen=True)
class Schedule:
    """The noise schedule of a checkpoint."""

    alphas_cumprod: Tensor  # (T,), float32
    final_abar: float  # where the last step leads
    prediction: str  # what the UNet predicts: epsilon, v_prediction or sample
    spacing: str
    offset: int

    @classmethod
    def of(cls, scheduler: SchedulerMixin) -> "Schedule":
        """Read the schedule of any discrete-time scheduler. Raises ModelError for flow matching and its like."""
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
        """The `steps` timesteps of a full run, from noise to image, spaced as the checkpoint asks for."""
        total = len(self.alphas_cumprod)
        if self.spacing == "trailing":
            spaced = np.round(np.arange(total, 0, -total / steps)) - 1
        elif self.spacing == "linspace":
            spaced = np.linspace(0, total - 1, steps).round()[::-1]
        else:
            spaced = (np.arange(steps) * (total // steps))[::-1] + self.offset
        return [int(t) for t in spaced]

    def plan(self, steps: int, strength: float) -> list[Step]:
        """The last `strength` share of a run of `steps`: at least one step."""
        total = len(self.alphas_cumprod)
        kept = self.timesteps(steps)[-max(1, min(steps, int(steps * strength + 1e-9))) :]
        ends = [t - total // steps for t in kept]
        abar = [float(self.alphas_cumprod[t]) for t in kept]
        after = [float(self.alphas_cumprod[end]) if end >= 0 else self.final_abar for end in ends]
        return [Step(t, a, b) for t, a, b in zip(kept, abar, after, strict=True)]


def noised(x0: Tensor, eps: Tensor, abar: Tensor) -> Tensor:
    return abar.sqrt() * x0 + (1 - abar).sqrt() * eps


def advance(xt: Tensor, output: Tensor, abar: Tensor, abar_next: Tensor, prediction: str) -> Tensor:
    """One deterministic DDIM step: rows (n, c, h, w), each with its own abar and abar_next (n, 1, 1, 1)."""
    if prediction == "epsilon":
        eps = output
        x0 = (xt - (1 - abar).sqrt() * eps) / abar.sqrt()
    elif prediction == "sample":
        x0 = output
        eps = (xt - abar.sqrt() * x0) / (1 - abar).sqrt()
    else:
        x0 = abar.sqrt() * xt - (1 - abar).sqrt() * output
        eps = abar.sqrt() * output + (1 - abar).sqrt() * xt
    return noised(x0, eps, abar_next)


def target(x0: Tensor, eps: Tensor, abar: Tensor, prediction: str) -> Tensor:
    """What the UNet should have said, for training."""
    if prediction == "epsilon":
        return eps
    if prediction == "sample":
        return x0
    return abar.sqrt() * eps - (1 - abar).sqrt() * x0


def levels(values: list[float], like: Tensor) -> Tensor:
    """Per-row numbers shaped to broadcast over (n, c, h, w)."""
    return torch.tensor(values, device=like.device, dtype=torch.float32).view(-1, 1, 1, 1)
