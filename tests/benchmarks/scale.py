"""Seconds and peak memory of every step that looks at a whole source, by the number of its images: rendered cheaply, 512 px.

python -m tests.benchmarks.scale
python -m tests.benchmarks.scale --counts 10000 --folder /tmp/rendered --json scale.json
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from tests.benchmarks.rendered import write_all

MOST = 0.02  # share of the first opening that the second may take
FLAT, MEMORY = 1.3, 4096  # of ten times as many images, the most memory: as a multiple, and MiB


def steps(*arguments: object) -> Any:
    """What a process of its own measures."""
    command = [sys.executable, "-m", "tests.benchmarks.scale_steps", *map(str, arguments)]
    lines = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    return json.loads(lines[-1])


def show(size: str, measured: dict[str, dict[str, float]]) -> None:
    for name, values in measured.items():
        times = f"{values['seconds']:>10.3f} s {values['cpu']:>10.2f} s of a core"
        print(f"{size:>28}  {name:<22} {times} {values['MiB']:>8.0f} MiB", flush=True)


def show_memory(sizes: list[dict[str, dict[str, float]]]) -> None:
    """The largest peaks beside what they may be."""
    peaks = [max(values["MiB"] for values in measured.values()) for measured in sizes]
    growth = f"{peaks[-1] / peaks[0]:.2f} times that of the first size, at most {FLAT}"
    print(f"{'':>28}  peak memory {max(peaks):,.0f} MiB, at most {MEMORY:,}; {growth}")


def main(
    counts: Annotated[str, typer.Option(help="Numbers of images.")] = "10000,100000",
    planned: Annotated[str, typer.Option(help="Images and classes that are planned in memory.")] = "1000000,1000",
    folder: Annotated[Path | None, typer.Option(help="Where the rendered images are kept; none: nowhere.")] = None,
    json_: Annotated[Path | None, typer.Option("--json", help="File to write the measurements to.")] = None,
    quick: Annotated[bool, typer.Option(help="200 images, and 2000 planned in 10 classes.")] = False,
) -> None:
    if quick:
        counts, planned = "200", "2000,10"
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for count in map(int, counts.split(",")):
            images = (folder or Path(temporary)) / f"rendered-{count}"
            write_all(images, count)
            size = f"{count:,} images"
            result[size] = steps("source", images, count)
            show(size, result[size])
            first, again = (result[size][name]["seconds"] for name in ("open_first", "open_again"))
            print(f"{'':>28}  opened again in {again / first:.1%} of the first time, at most {MOST:.0%} for many images")
    show_memory(list(result.values()))
    total, classes = planned.split(",")
    size = f"{int(total):,} in {int(classes):,} classes"
    result[size] = steps("plan", total, classes)
    show(size, result[size])
    if json_ is not None:
        json_.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
