"""A worker's own metrics, for Prometheus. The process that works serves them, too: a worker has one (concurrency 1)."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Literal, get_args

from prometheus_client import Counter, Gauge, Histogram

from pipelines.progress import watched
from service.state.lifecycle import ALL_STAGES

Outcome = Literal["done", "failed", "lost", "released"]
MEASURED = (*ALL_STAGES, "preview", "inspection")
UNITS = Counter("counterpoise_worker_units", "Units, previews and inspections that it has ended with.", ["stage", "outcome"])
SECONDS = Histogram(
    "counterpoise_worker_unit_seconds", "How long they took.", ["stage"], buckets=(1, 5, 15, 60, 300, 900, 3600)
)
BUSY = Gauge("counterpoise_worker_busy", "Whether it is at work now, for each kind of work that it takes.", ["kind"])
STEP = Gauge("counterpoise_worker_step_timestamp_seconds", "When its work last made a step.")
MODELS = Gauge("counterpoise_worker_models", "Models that it has in memory.")
HANG_SECONDS = 1800  # without a step after which work is taken to hang: its lease is not renewed any more
RESTART_SECONDS = 300  # later, its process is to be started anew: by then the unit is another worker's

kinds: tuple[str, ...] = ()  # of work that this worker takes
last_step: float | None = None  # of the work at hand, by the monotonic clock; None: it has no work
last_step_time = time.time()  # of this work or the last, by the clock on the wall
STEP.set_function(lambda: last_step_time)


def initialize(queues: Iterable[str]) -> None:
    """Create every series, so that what has not happened yet is there, and zero."""
    global kinds
    kinds = tuple(queues)
    for stage in MEASURED:
        SECONDS.labels(stage)
        for outcome in get_args(Outcome):
            UNITS.labels(stage, outcome)
    for kind in kinds:
        BUSY.labels(kind)


def step() -> None:
    """The work goes on: noted by its own thread, not by the one that renews its lease. Takes no lock: there are many."""
    global last_step, last_step_time
    last_step, last_step_time = time.monotonic(), time.time()


def silence() -> float:
    """Seconds since the work at hand made a step; 0 without work."""
    return 0.0 if last_step is None else time.monotonic() - last_step


@contextmanager
def measure(stage: str) -> Iterator[Callable[[Outcome], None]]:
    """Measure a block of work, which counts its outcome by the function that it is given."""
    global last_step
    step()
    start = time.monotonic()
    for kind in kinds:
        BUSY.labels(kind).set(1)
    try:
        with watched(step):
            yield lambda outcome: UNITS.labels(stage, outcome).inc()
    finally:
        SECONDS.labels(stage).observe(time.monotonic() - start)
        for kind in kinds:
            BUSY.labels(kind).set(0)
        step()
        last_step = None


def failure() -> str | None:
    """Why this process needs a restart, if it does."""
    seconds = silence()
    return f"no step for {seconds:.0f} s" if seconds > HANG_SECONDS + RESTART_SECONDS else None
