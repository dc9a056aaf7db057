"""The bench of the engine: how far it is from its limit and ahead of others, a whole job from it, and what is saved."""

import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from typing import Any

import torch

from pipelines.errors import SpecError
from pipelines.experiments.engine.arms import RIVALS, throughput, versus
from pipelines.experiments.engine.job import job_vs_engine
from pipelines.experiments.engine.loras import loras
from pipelines.experiments.engine.memory import peak_memory
from pipelines.experiments.engine.occupancy import occupancy
from pipelines.experiments.engine.quarter_mask import quarter_mask
from pipelines.experiments.engine.savings import kept_seconds_saving
from pipelines.experiments.engine.timing import Measurement, Size
from pipelines.progress import Progress
from pipelines.tensors import choose_device

MEASUREMENTS: Mapping[str, Callable[[Size, Progress], Measurement]] = {
    "job_vs_engine": job_vs_engine,
    "occupancy": occupancy,
    "loras": loras,
    "quarter_mask": quarter_mask,
    "kept_seconds_saving": kept_seconds_saving,
    "throughput": throughput,
    "peak_memory": peak_memory,
}
NAMES = (*(f"engine_vs_{rival}" for rival in RIVALS), *MEASUREMENTS)
GOALS = {  # the least that a ratio should be
    "engine_vs_batched.mixed": 1.0,
    "engine_vs_batched.uniform": 1.0,
    "engine_vs_limit.uniform": 0.97,
    "job_vs_engine": 0.85,
    "occupancy": 0.97,
    "loras": 0.85,
    "quarter_mask": 2.5,
    "kept_seconds_saving.all": 3.0,
    "kept_seconds_saving.worst_group.all": 1.0,
    "peak_memory": 0.9,
}


def bench(names: Sequence[str], size: Size, progress: Progress) -> Iterator[dict[str, Any]]:
    """Measure what is named, one thing after another, and yield the report after each.

    `ratios` by name, larger is better; `seconds`, medians of `rounds`, by arm; and what they were measured with. Raises
    SpecError for a name that there is not.
    """
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise SpecError(f"--only: ratio {unknown[0]!r} does not exist; there are {', '.join(NAMES)}")
    report: dict[str, Any] = {"ratios": {}, "seconds": {}, "rounds": {}, **conditions(size)}
    rivals = [rival for rival in RIVALS if f"engine_vs_{rival}" in names]
    measurements = [MEASUREMENTS[name] for name in names if name in MEASUREMENTS]
    if rivals:
        measurements.insert(0, partial(versus, rivals))
    for measure in measurements:
        measured = measure(size, progress)
        report["ratios"] |= measured.ratios
        report["seconds"] |= measured.seconds
        report["rounds"] |= measured.rounds
        report |= measured.figures
        for name, value in measured.ratios.items():
            progress.say(f"{name}: {value:.2f}")
        yield report


def conditions(size: Size) -> dict[str, Any]:
    """The machine, the versions and the settings."""
    device = choose_device("auto")
    return {
        "machine": {
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "load": round(os.getloadavg()[0], 1),  # processes that wanted a core in the minute before
        },
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "diffusers", "transformers")},
        },
        "settings": asdict(size),
    }
