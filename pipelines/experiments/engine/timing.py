"""How the bench of the engine measures: arms in turn in one process, seconds of wall clock, medians over rounds.

Load of the machine that changes in minutes is the same for all arms of a round: a ratio is the median of the rounds' ratios.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from pipelines.progress import Stage
from pipelines.spec.models import BUILTIN

Rounds = Mapping[str, list[float]]  # seconds of each arm, of every round


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    checkpoint: str = BUILTIN
    rounds: int = 5
    count: int = 96  # requests of an arm, and planned images of a job
    capacity: int = 32  # requests in the engine's batch, and in one of diffusers'
    steps: int = 20  # of the full schedule
    learning: int = 80  # optimisation steps of the job's tokens and of its judge
    train: int = 200  # images that the job learns from, and repaints
    stream: int = 2000  # requests that occupancy is measured over
    capacities: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)  # of which throughput is measured
    memory: tuple[int, int] = (100, 10_000)  # images of which peak memory is measured
    loras: int = 100
    version: tuple[int, int, int] = (240, 400, 400)  # images planned, train, held-out: of versions that are evaluated
    training: int = 400  # optimisation steps of their classifiers


QUICK = Size(
    rounds=1, count=16, capacity=8, steps=4, learning=4, train=20, stream=100, capacities=(1, 4), memory=(20, 100), loras=10,
    version=(8, 40, 16), training=4,
)  # fmt: skip


@dataclass(frozen=True)
class Measurement:
    ratios: Mapping[str, float]  # larger is better
    rounds: Rounds = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)  # whatever else is of interest

    @property
    def seconds(self) -> dict[str, float]:
        """Medians over the rounds, by arm."""
        return {arm: median(values) for arm, values in self.rounds.items()}


def alternate(arms: Mapping[str, Callable[[], object]], rounds: int, stage: Stage) -> dict[str, list[float]]:
    """Run all arms in each round, in every other round the last one first; a unit of the stage is one run."""
    seconds: dict[str, list[float]] = {arm: [] for arm in arms}
    for number in range(rounds):
        for arm in list(arms)[:: -1 if number % 2 else 1]:
            began = time.perf_counter()
            arms[arm]()
            seconds[arm].append(time.perf_counter() - began)
            stage(1)
    return seconds


def ratio(numerators: list[float], denominators: list[float]) -> float:
    """The median over rounds."""
    return median(a / b for a, b in zip(numerators, denominators, strict=True))
