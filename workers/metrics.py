"""What a worker knows of itself, for Prometheus. The process that works serves it, too: a worker has one (concurrency 1)."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Literal, get_args

from prometheus_client import Counter, Gauge, Histogram

from service.state.lifecycle import STAGES

Outcome = Literal["done", "failed", "lost", "released"]
PIECES = (*STAGES, "preview")
UNITS = Counter("counterpoise_worker_units", "Units that this worker has ended with, and previews.", ["stage", "outcome"])
SECONDS = Histogram(
    "counterpoise_worker_unit_seconds", "How long they took.", ["stage"], buckets=(1, 5, 15, 60, 300, 900, 3600)
)
BUSY = Gauge("counterpoise_worker_busy", "Whether it is at work now, for each kind of work that it takes.", ["kind"])
STEP = Gauge("counterpoise_worker_step_timestamp_seconds", "When its work last made a step.")
MODELS = Gauge("counterpoise_worker_models", "Models that it has in memory.")
SILENT = 1800  # seconds without a step after which work is taken to hang; its lease is renewed all the while

kinds: tuple[str, ...] = ()  # of work that this worker takes
stepped: float | None = None  # when the work at hand last made a step, by the monotonic clock; None: it has no work


def begin(taken: Iterable[str]) -> None:
    """Name everything, so that what has not happened yet is there, and zero."""
    global kinds
    kinds = tuple(taken)
    for stage in PIECES:
        SECONDS.labels(stage)
        for outcome in get_args(Outcome):
            UNITS.labels(stage, outcome)
    for kind in kinds:
        BUSY.labels(kind)
    STEP.set_to_current_time()


def step() -> None:
    """The work goes on: its own thread says so, not the one that renews its lease."""
    global stepped
    stepped = time.monotonic()
    STEP.set_to_current_time()


@contextmanager
def at(stage: str) -> Iterator[Callable[[Outcome], None]]:
    """A block of work. It says how it ended."""
    global stepped
    step()
    began = time.monotonic()
    for kind in kinds:
        BUSY.labels(kind).set(1)
    try:
        yield lambda outcome: UNITS.labels(stage, outcome).inc()
    finally:
        SECONDS.labels(stage).observe(time.monotonic() - began)
        for kind in kinds:
            BUSY.labels(kind).set(0)
        step()
        stepped = None


def ailing() -> str | None:
    """Why this process needs a restart, if it does."""
    silent = 0.0 if stepped is None else time.monotonic() - stepped
    return f"no step for {silent:.0f} s" if silent > SILENT else None
