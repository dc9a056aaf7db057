"""Whether everything runs on a GPU, and how fast: a table, and figures.json in a folder.

python -m tests.benchmarks.gpu OUT [--check] [--methods] [--speed] [--photographs] [--tiny] [--device cpu]
python -m tests.benchmarks.gpu OUT --speed --only 'engine|diffusers'

Without weights from elsewhere: the bundled model and tiny checkpoints are checked; of the full-size ones, whose weights are
random, speed and memory are measured. `--tiny` measures tiny ones instead, to see that the script runs. `--only` is a
regular expression of the cases' names. The figures are written after every case: a run that is killed leaves what it has.
"""

import json
import platform
import re
import time
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
import typer

from pipelines.progress import quiet
from pipelines.tensors import choose_device
from tests.benchmarks import gpu_check, gpu_methods, gpu_photographs, gpu_speed
from tests.benchmarks.gpu_check import Figures


def card(device: torch.device) -> str:
    """The name of the device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.processor() or 'CPU'}"


def carry_out(cases: Iterable[gpu_check.Case]) -> Iterator[tuple[str, Figures]]:
    """Run every case, whatever fails; print a line for each as it ends."""
    for case in cases:
        began = time.monotonic()
        try:
            figures = case.run()
        except Exception as error:
            traceback.print_exc()
            figures = {"failed": f"{type(error).__name__}: {error}".splitlines()[0]}
        figures["seconds"] = round(time.monotonic() - began, 1)
        print(f"{case.name:52} " + ", ".join(f"{key} {value}" for key, value in figures.items()), flush=True)
        yield case.name, figures


def main(
    out: Path,
    check: bool = False,
    methods: bool = False,
    speed: bool = False,
    photographs: bool = False,
    tiny: bool = False,
    only: str = "",
    device: str = "auto",
) -> None:
    quiet()
    chosen, results = choose_device(device), dict[str, Figures]()
    print(f"{card(chosen)}, torch {torch.__version__}", flush=True)
    out.mkdir(parents=True, exist_ok=True)
    kinds = {
        "check": (check, gpu_check.cases),
        "methods": (methods, gpu_methods.cases),
        "photographs": (photographs, gpu_photographs.cases),
        "speed": (speed, gpu_speed.cases),
    }
    for kind, (wanted, cases) in kinds.items():
        chosen_cases = (case for case in cases(out / kind, chosen, tiny) if re.search(only, case.name)) if wanted else ()
        for name, figures in carry_out(chosen_cases):
            results[name] = figures
            record = {"card": card(chosen), "torch": torch.__version__, "cases": results}
            (out / "figures.json").write_text(json.dumps(record, indent=2) + "\n")
    failed = [name for name, figures in results.items() if "failed" in figures]
    print(f"{len(failed)} failed: {', '.join(failed)}" if failed else "All ran.")
    raise typer.Exit(bool(failed))


if __name__ == "__main__":
    typer.run(main)
