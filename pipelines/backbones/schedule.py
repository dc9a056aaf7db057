"""Noise levels of a checkpoint: of its steps, of its training, and what its predictions mean at them.

A noise level is two numbers: xt = alpha x0 + sigma eps. Of diffusion, alpha^2 + sigma^2 = 1; of flow matching, alpha +
sigma = 1. Further symbols: v = alpha eps - sigma x0; flow = eps - x0, the velocity of a straight path.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class Level(NamedTuple):
    """A noise level."""

    alpha: float
    sigma: float


class Weights(NamedTuple):
    """A step of a solver: the latents at the next noise level are this linear combination."""

    x: float  # of the latents
    x0: float  # of x0 as it is predicted now
    x0_previous: float  # of x0 as it was predicted in the step before; 0 of first-order steps


@dataclass(frozen=True, slots=True)
class Step:
    t: float  # timestep of the prediction; an integer of diffusion
    level: Level  # there
    level_next: Level  # after the step
    weights: Weights
    start: float  # where it begins, as a share of the full run: 0 <= start < 1


@dataclass(frozen=True, slots=True)
class Levels:
    """Noise levels of n rows."""

    alpha: Tensor  # float32 (n, 1, 1, 1), to broadcast over (n, c, h, w)
    sigma: Tensor

    @classmethod
    def of(cls, levels: Sequence[Level], like: Tensor) -> "Levels":
        """On the device of `like`."""
        return cls(per_row([level.alpha for level in levels], like), per_row([level.sigma for level in levels], like))

    def row(self, index: int) -> "Levels":
        """Of one row, (1, 1, 1)."""
        return Levels(self.alpha[index], self.sigma[index])


class Schedule(Protocol):
    """The noise schedule of a checkpoint. `patches` is how many an image has of what its denoiser looks at one by one."""

    @property
    def prediction(self) -> str:
        """What the denoiser predicts: epsilon, sample, v_prediction or flow."""

    def plan(self, steps: int, strength: float, patches: int, solver: str = "auto") -> list[Step]:
        """The last `strength`, 0 < strength <= 1, of a full run of `steps`, as in SDEdit: at least one step.

        `solver` is one of the spec's `method.solver`. Raises ModelError for one of other schedules.
        """

    def draw(self, count: int, patches: int, generator: torch.Generator) -> tuple[Tensor, list[Level]]:
        """Random timesteps (count,) to train at, on the CPU, and their noise levels."""


def add_noise(x0: Tensor, eps: Tensor, levels: Levels) -> Tensor:
    """The forward process: x0 at the noise levels, with the noise `eps`."""
    return levels.alpha * x0 + levels.sigma * eps


def target(x0: Tensor, eps: Tensor, levels: Levels, prediction: str) -> Tensor:
    """The training target of the prediction type: eps, x0, v or the velocity of the flow."""
    if prediction == "epsilon":
        return eps
    if prediction == "sample":
        return x0
    if prediction == "flow":
        return eps - x0
    return levels.alpha * eps - levels.sigma * x0


def per_row(values: Sequence[float], like: Tensor) -> Tensor:
    """Numbers of n rows as float32 (n, 1, 1, 1), to broadcast over (n, c, h, w)."""
    return torch.tensor(values, device=like.device, dtype=torch.float32).view(-1, 1, 1, 1)
