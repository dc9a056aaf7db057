"""The steps of `tests.benchmarks.scale`, in a process of its own for each size, whose memory is that size's alone.

Images are rendered, samples are grey, fingerprints are drawn at random, and classifiers are trained for a few steps: what is
measured is how data is handled.

python -m tests.benchmarks.scale_steps source FOLDER 10000
python -m tests.benchmarks.scale_steps plan 1000000 1000
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from pipelines.evaluation.evaluator import Evaluator
from pipelines.filters.fingerprints import StoredFingerprints
from pipelines.job import Job
from pipelines.progress import Silent
from pipelines.source.open import open_source
from pipelines.spec import Machine, VersionSpec, parse
from pipelines.spec.arms import VERSION
from pipelines.store.object_store import Store
from pipelines.version.duplicates import Gallery
from pipelines.version.shard import run_shards
from pipelines.vision.models import Models
from tests.benchmarks.bookkeeping import ConstantEngine, in_memory
from tests.benchmarks.near_duplicates import made_up
from tests.builders import document

Measured = dict[str, dict[str, float]]  # of each step `seconds`, `cpu` and `MiB`
SIDE = 64  # pixels that classifiers see, as beside the bundled model
FIT = {"steps": 10, "batch": 64}  # of a classifier: few
EVALUATION = {"arms": [VERSION], "seeds": [0], "checkpoint": "last", "reencode": 0.0}


@dataclass
class Bench:
    """A source of so many images, and what the steps make of it."""

    images: Path
    count: int
    folder: Path  # of the store, and of what lies on this machine's disk
    fingerprints: dict[int, bytes] = field(default_factory=dict)  # of the samples, as each shard stores them
    sizes: dict[str, int] = field(default_factory=dict)  # for the table's reader: what the steps came upon

    @cached_property
    def spec(self) -> VersionSpec:
        """As many samples as there are images; two thirds of these are trained on."""
        return parse(
            document(
                source={"type": "folder", "path": str(self.images)},
                models={"resolution": SIDE},
                amount={"total": self.count},
                shard_size=1000,
                classifier=FIT,
                evaluation=EVALUATION,
            )
        )

    @property
    def store(self) -> Store:
        return Store.open(str(self.folder / "store"))

    @cached_property
    def job(self) -> Job:
        machine = Machine(device="cpu", cache_dir=str(self.folder / "pixels"))
        return Job(self.spec, self.store, Silent(), models=Models(self.spec.models, machine))


def open_first(bench: Bench) -> None:
    """Decodes and hashes every image, in several processes, whose memory is not counted."""
    open_source(bench.spec.source, bench.store)


def open_again(bench: Bench) -> None:
    """As every other process does: finds the index."""
    source = open_source(bench.spec.source, bench.store)
    bench.sizes["images"] = sum(map(len, source.splits.values()))


def plan(bench: Bench) -> None:
    """As the planner does, the source opened once more."""
    bench.sizes["planned"] = bench.job.plan.planned


def judge(bench: Bench) -> None:
    """Decodes every training image into the cache on disk, and trains on them for a few steps."""
    bench.sizes["judged by"] = len(bench.job.resources.judge.classes)


def make_samples(bench: Bench) -> None:
    """As many as there are images, grey, in shards; and fingerprints drawn at random. What the next steps work on."""
    job = bench.job
    engine: Any = ConstantEngine()
    reports = run_shards(job.resources, job.plan, range(job.plan.shards), job.method, engine, job.panel)
    bench.sizes["samples"] = sum(report["kept"] for report in reports)
    bench.fingerprints = {number: part.encode() for number, part in made_up(bench.count).items()}


def near_duplicates(bench: Bench) -> None:
    """Compares the fingerprints of all shards; of one in a hundred samples, those are nearly another's."""
    gallery = Gallery({n: StoredFingerprints.decode(data) for n, data in bench.fingerprints.items()}, bench.job.plan.shards)
    bench.sizes["near duplicates"] = sum(map(len, gallery.repeats().values()))


def finalize(bench: Bench) -> None:
    """From the shards' reports."""
    bench.sizes["files"] = len(bench.job.finalize()["files"])


def evaluation_fit(bench: Bench) -> None:
    """One arm with one seed: reads held-out images and samples into the cache, trains for a few steps, and is tested."""
    evaluator = bench.job.evaluator
    assert isinstance(evaluator, Evaluator)
    evaluator.run_unit(0)


STEPS: tuple[Callable[[Bench], None], ...] = (
    open_first,
    open_again,
    plan,
    judge,
    make_samples,
    near_duplicates,
    finalize,
    evaluation_fit,
)


def measure(step: Callable[[], Any]) -> dict[str, float]:
    """Seconds, those of a core, in processes that were started for it, too, and the most memory that this one held."""
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak before
    began, spent = time.perf_counter(), sum(os.times()[:4])
    step()
    seconds, cpu = time.perf_counter() - began, sum(os.times()[:4]) - spent
    lines = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    return {"seconds": round(seconds, 3), "cpu": round(cpu, 2), "MiB": round(peak / 1024)}


def measure_source(images: Path, count: int) -> Measured:
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(images, count, Path(folder))
        measured: Measured = {}
        for step in STEPS:
            measured[step.__name__] = measure(partial(step, bench))
            print(f"{count:,} images: {step.__name__}", measured[step.__name__], file=sys.stderr, flush=True)
        print(bench.sizes, file=sys.stderr)
    assert bench.sizes["images"] == bench.sizes["planned"] == bench.sizes["samples"] == count
    return measured


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
    measured = (
        measure_source(Path(arguments[0]), int(arguments[1])) if kind == "source" else measure_plan(*map(int, arguments))
    )
    print(json.dumps(measured))
