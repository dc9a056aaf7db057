"""The steps of `tests.benchmarks.scale`, in a process of its own for each size, whose memory is that size's alone.

python -m tests.benchmarks.scale_steps source FOLDER
python -m tests.benchmarks.scale_steps plan 1000000 1000
"""

import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pipelines.job import Job
from pipelines.progress import Silent
from pipelines.records import Image, Item
from pipelines.source.open import open_source
from pipelines.source.source import Source
from pipelines.spec import VersionSpec, parse
from pipelines.store.object_store import Store
from tests.builders import document

Measured = dict[str, dict[str, float]]  # of each step `seconds` and `MiB`


@dataclass
class Bench:
    """A source of so many images, and what the steps make of it."""

    images: Path
    store: str
    sizes: dict[str, int] = field(default_factory=dict)  # for the table's reader: what the steps came upon

    @cached_property
    def spec(self) -> VersionSpec:
        return parse(document(source={"type": "folder", "path": str(self.images)}, amount={"multiply": 1}))

    @cached_property
    def job(self) -> Job:
        return Job(self.spec, Store.open(self.store), Silent())


def open_first(bench: Bench) -> None:
    """Decodes and hashes every image, in several processes, whose memory is not counted."""
    open_source(bench.spec.source, Store.open(bench.store))


def open_again(bench: Bench) -> None:
    """As every other process does: finds the index."""
    source = open_source(bench.spec.source, Store.open(bench.store))
    bench.sizes["images"] = sum(map(len, source.splits.values()))


def plan(bench: Bench) -> None:
    """As the planner does, the source opened once more."""
    bench.sizes["planned"] = bench.job.plan.planned


STEPS: tuple[Callable[[Bench], None], ...] = (open_first, open_again, plan)


def measure(step: Callable[[], Any]) -> dict[str, float]:
    """Seconds, and the most memory that this process has held meanwhile."""
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak before
    began = time.perf_counter()
    step()
    seconds = time.perf_counter() - began
    lines = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    return {"seconds": round(seconds, 3), "MiB": round(peak / 1024)}


def measure_source(images: Path) -> Measured:
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(images, folder)
        return {step.__name__: measure(lambda step=step: step(bench)) for step in STEPS}  # type: ignore[misc]


def in_memory(count: int, classes: int) -> Source:
    """A source of so many training images that lie nowhere."""

    def read(item: Item) -> Image:
        raise AssertionError("no plan reads an image")

    names = [f"class {number:04d}" for number in range(classes)]
    items = [
        Item(f"{names[n % classes]}/{n:07d}.jpg", hashlib.sha256(str(n).encode()).hexdigest(), names[n % classes], None)
        for n in range(count)
    ]
    return Source(tuple(names), {"train": items, "validation": [], "test": []}, read)


def measure_plan(count: int, classes: int) -> Measured:
    """Planning as many images as there are, and looking each of them up."""
    source = in_memory(count, classes)
    with tempfile.TemporaryDirectory() as folder:
        spec = parse(document(amount={"multiply": 1}, shard_size=1000))
        job = Job(spec, Store.open(folder), Silent())
        job.resources.source = source
        made = measure(lambda: job.plan)
        listed = measure(lambda: [len(job.plan.shard(number)) for number in range(job.plan.shards)])
        again = measure(lambda: Job.plan.func(job))  # type: ignore[attr-defined]
    assert job.plan.planned == count
    return {"plan": made, "images_of_all_shards": listed, "plan_again": again}


if __name__ == "__main__":
    kind, *arguments = sys.argv[1:]
    measured = measure_source(Path(arguments[0])) if kind == "source" else measure_plan(*map(int, arguments))
    print(json.dumps(measured))
