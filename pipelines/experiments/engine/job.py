"""A whole job beside its engine: how much of the job's time is denoising, and where the rest goes."""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import Any
from unittest.mock import patch

from pipelines.engine.admission import Admission
from pipelines.engine.engine import Engine
from pipelines.experiments.engine.jobs import Jobs, engine_of, run
from pipelines.experiments.engine.timing import Measurement, Size, ratio
from pipelines.filters import Comparisons
from pipelines.job import Job
from pipelines.progress import Progress
from pipelines.records import PlannedImage, Request
from pipelines.version import generation, shard

DROPPED = 0.5  # share of the images
BESIDE = ", beside"  # ends the names of parts that run in a thread of their own


class Stopwatch:
    """Seconds that calls take, by a name; of those in a thread of their own, beside the others."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def on(self, owner: Any, function: str, name: str) -> Iterator[None]:
        """Time the calls of a function of a module or class, or of a method of an object, inside the block."""
        call = getattr(owner, function)

        def timed(*arguments: Any, **options: Any) -> Any:
            began = time.perf_counter()
            try:
                return call(*arguments, **options)
            finally:
                self.seconds[name] += time.perf_counter() - began

        with patch.object(owner, function, timed):
            yield


@contextmanager
def profiled(job: Job) -> Iterator[dict[str, float]]:
    """Seconds of the job's parts inside the block."""
    watch = Stopwatch()
    with ExitStack() as stack:
        for owner, function, name in (
            (job.method, "requests", f"requests{BESIDE}"),
            (generation, "result", "waiting for requests and verdicts"),
            (Admission, "admit", "engine"),
            (job.engine, "tick", "engine"),
            (job.engine, "decode", "engine"),
            *((filter_, "judge", f"judging: {name}") for name, filter_ in job.panel.filters.items()),
            (Comparisons, "judge", "judging: comparisons"),
            (shard, "write_shard", f"writing{BESIDE}"),
            (shard, "result", "waiting for writing"),
        ):
            stack.enter_context(watch.on(owner, function, name))
        yield watch.seconds


@contextmanager
def recorded(job: Job) -> Iterator[list[Request]]:
    """The requests that the job makes inside the block."""
    requests, call = list[Request](), job.method.requests

    def record(planned: Sequence[PlannedImage], attempt: int) -> list[Request]:
        new = call(planned, attempt)
        requests.extend(new)
        return new

    with patch.object(job.method, "requests", record):
        yield requests


def job_vs_engine(size: Size, progress: Progress) -> Measurement:
    """Seconds of the engine alone, over those of a job that makes the same requests and drops half of their images."""
    stage, counts = progress.stage("job, engine", 2 * size.rounds + 1), dict[str, int]()
    seconds: dict[str, list[float]] = {"job": [], "engine": []}
    parts: list[dict[str, float]] = []
    with Jobs.repainting(size) as jobs:
        counts = run(jobs.ready())  # what is loaded on first use is loaded; and how much the filters keep is known
        dropping = max(0.0, 1 - (1 - DROPPED) * counts["generated"] / max(1, counts["kept"]))
        stage(1)
        for _ in range(size.rounds):
            job = jobs.ready(dropping=dropping)
            engine = Engine(engine_of(job).backbone, size.capacity)
            with recorded(job) as requests, profiled(job) as spent:
                began = time.perf_counter()
                counts = run(job)
                seconds["job"].append(time.perf_counter() - began)
            rest = seconds["job"][-1] - sum(value for name, value in spent.items() if not name.endswith(BESIDE))
            parts.append({**spent, "rest": rest})
            stage(1)
            began = time.perf_counter()
            images = sum(1 for _ in engine.run(requests))
            seconds["engine"].append(time.perf_counter() - began)
            assert images == counts["generated"]
            stage(1)
    profile: dict[str, Any] = {name: median(part[name] for part in parts) for name in parts[0]}
    return Measurement(
        {"job_vs_engine": ratio(seconds["engine"], seconds["job"])},
        {f"job_vs_engine.{arm}": values for arm, values in seconds.items()},
        {"job": {**counts, "seconds": profile}},
    )
