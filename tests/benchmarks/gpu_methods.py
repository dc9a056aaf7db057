"""What `tests.benchmarks.gpu --methods` runs: every row of the methods' benchmarks, as small as it can be, with the bundled
model."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch

from pipelines.experiments.benchmarks import Size, benchmarks, spec_of
from pipelines.progress import Silent
from pipelines.run import run
from pipelines.spec import Machine, VersionSpec
from tests.benchmarks.gpu_check import Case, Figures

SIZE = Size("", 4, 4, 10, 8, 10, 40, 6, 10)
STEPS = 2  # of whatever is learned


def small(spec: VersionSpec) -> VersionSpec:
    """The spec, learning as briefly as can be."""
    learned = {name: getattr(spec.method, name, None) for name in ("inversion", "lora")}
    brief = {name: one.model_copy(update={"steps": STEPS}) for name, one in learned.items() if one is not None}
    return spec.model_copy(update={"method": spec.method.model_copy(update=brief)})


def row(spec: VersionSpec, out: Path, machine: Machine) -> Figures:
    """One version with its baselines: what was kept, and accuracies, of which nothing is to be expected at this size."""
    summary = run(spec, out, Silent(), machine)
    arms = {arm: round(figures["average"]["mean"], 2) for arm, figures in summary["arms"].items()}
    return {"kept": summary["counts"]["kept"], "of": summary["counts"]["planned"], **arms}


def cases(out: Path, device: torch.device, tiny: bool) -> Iterator[Case]:
    """A row that several benchmarks have is run in the first of them. In half precision where the device is made for it."""
    machine = Machine(device=str(device), precision="fp32" if tiny else "bf16")
    seen = set[str]()
    for name, benchmark in benchmarks(SIZE).items():
        for method in benchmark.methods:
            if method not in seen:
                seen.add(method)
                yield Case(f"{method} of {name}", partial(row, small(spec_of(name, benchmark, method, 0)), out, machine))
