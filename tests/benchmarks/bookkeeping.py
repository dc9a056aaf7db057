"""Memory and time of bookkeeping alone: plan, make, list and finalize so many images, drawn by a stand-in for the engine.

python -m tests.benchmarks.bookkeeping 10000
python -m tests.benchmarks.bookkeeping 1000000 --classes 1000
"""

import hashlib
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import typer

from pipelines.engine.probe import Probe
from pipelines.engine.requests import RequestQueue
from pipelines.filters import Panel
from pipelines.job import Job
from pipelines.progress import Silent
from pipelines.records import Candidate, Image, Item
from pipelines.source.source import Source
from pipelines.spec import parse
from pipelines.store.object_store import Store
from pipelines.version import browse
from pipelines.version.shard import run_shards
from tests.builders import document, flat


class ConstantEngine:
    """Stands in for the engine: every image is the same grey."""

    capacity = 32

    def batches(self, queue: RequestQueue, probe: Probe | None = None) -> Iterator[list[Candidate]]:
        image = flat()
        while batch := queue.take(self.capacity, wait=True):
            yield [Candidate(request, image) for request in batch]


def in_memory(count: int, classes: int) -> Source:
    """A source of so many training images that lie nowhere."""

    def read(item: Item) -> Image:
        raise AssertionError("bookkeeping reads no image of the source")

    names = [f"class {number:04d}" for number in range(classes)]
    items = [
        Item(f"{names[n % classes]}/{n:07d}.jpg", hashlib.sha256(str(n).encode()).hexdigest(), names[n % classes], None)
        for n in range(count)
    ]
    return Source(tuple(names), {"train": items, "validation": [], "test": []}, read)


def peak() -> float:
    """MiB, of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(count: int, classes: int = 2, shard_size: int = 1000) -> None:
    began = time.perf_counter()

    def say(what: str) -> None:
        seconds = time.perf_counter() - began
        print(f"{count} images in {classes} classes, {what}: {seconds:.1f} s, peak {peak():.0f} MiB", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        spec = parse(document(amount={"per_class": count // classes}, shard_size=shard_size))
        job = Job(spec, Store.open(folder), Silent())
        job.resources.source = in_memory(10 * classes, classes)
        plan = job.plan
        panel = Panel(job.resources)
        say(f"planned in {plan.shards} shards")
        run_shards(job.resources, plan, range(plan.shards), job.method, ConstantEngine(), panel)  # type: ignore[arg-type]
        say("made")
        pages, seen, start = 0, 0, (0, 0)
        while start is not None:
            items, start = browse.page(job.store, job.resources.root, browse.SampleFilter(), start, 1000)  # type: ignore[assignment]
            pages, seen = pages + 1, seen + len(items)
        say(f"listed, {seen} samples on {pages} pages")
        manifest = job.finalize()
        say(f"finalized, {len(manifest['files'])} files")
        assert seen == manifest["counts"]["kept"] == plan.planned
        assert len({path.name for path in Path(folder).rglob("*.parquet")}) == plan.shards


if __name__ == "__main__":
    typer.run(main)
