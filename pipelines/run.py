"""A whole version in one process, in the order in which a service would call the same pieces."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines.backbones.capabilities import check_models
from pipelines.errors import CounterpoiseError, EvaluationError, SpecError
from pipelines.job import Job
from pipelines.progress import Progress
from pipelines.spec import Machine, VersionSpec, parse
from pipelines.spec.helpers import warnings
from pipelines.store import keys
from pipelines.store.canonical import canonical
from pipelines.store.object_store import Store
from pipelines.tensors import choose_device
from pipelines.version.plan import read_plan
from pipelines.vision.models import Models


class Clock:
    """Seconds spent in each stage, summed over the runs that it took, kept in the store."""

    def __init__(self, store: Store, root: str) -> None:
        self.store, self.key = store, keys.seconds(root)
        self.spent: dict[str, float] = store.json(self.key) if store.exists(self.key) else {}

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.spent[stage] = self.spent.get(stage, 0.0) + time.monotonic() - began
            self.store.put(self.key, canonical(self.spent))

    @property
    def seconds(self) -> dict[str, float]:
        stages = {stage: round(self.spent.get(stage, 0.0), 1) for stage in ("learn", "generate", "train")}
        return {"total": round(sum(self.spent.values()), 1), **stages}


def run(spec: VersionSpec, out: Path, progress: Progress, machine: Machine | None = None) -> dict[str, Any]:
    """Make a version of `spec.name` in the folder `out`, evaluate it and report on it; return the summary.

    Stopped anywhere and run again, it goes on where it was, and ends with the same images, up to rounding. A version of
    another spec, or of other images, that lies there with shards already stays, and the next number is taken: what was
    learned is used again where it still fits.
    Raises EvaluationError once the version is published and reported on without its evaluation.
    """
    models = Models(spec.models, machine)
    choose_device(models.machine.device)  # this and the next raise before anything is done
    check_models(spec)
    store = Store.open(out)
    number = 1
    while is_of_another(store, job := Job(spec, store, progress, number, models=models)):
        number += 1
    if number > 1:
        progress.say(f"Version {number}: those before it were made by other specs or from other images, and stay.")
    clock = Clock(store, job.resources.root)
    with clock.time("plan"):
        plan = job.plan
    for line in (*job.resources.source.summary, *(f"Warning: {line}" for line in warnings(spec))):
        progress.say(line)
    job.check()
    with clock.time("learn"):
        job.learn()
    with clock.time("generate"):
        job.generate(range(plan.written_shards))
        job.finalize()
    try:
        with clock.time("train"):
            evaluation = job.evaluate()
    except Exception as error:
        reason = str(error) if isinstance(error, CounterpoiseError) else f"{type(error).__name__}: {error}"
        write_report(job, out, job.unevaluated(f"The evaluation failed: {reason}"), clock)
        raise EvaluationError(
            f"the version is published in {out}, but not evaluated: {reason}. The same command tries it again"
        ) from error
    return write_report(job, out, evaluation, clock)


def is_of_another(store: Store, job: Job) -> bool:
    """Whether the job's version has shards already that were made by another spec, or from other images."""
    root = job.resources.root
    if not store.keys(keys.reports(root)):
        return False
    try:
        if parse(store.json(keys.spec(root))) != job.spec:
            return True
    except SpecError:  # of another release
        return True
    plan = read_plan(store, root)
    return plan is not None and plan.source != job.resources.source.fingerprint


def write_report(job: Job, out: Path, evaluation: dict[str, Any], clock: Clock) -> dict[str, Any]:
    """Write the report beside the version's files, and into the folder, over that of the run before; return the summary."""
    summary, files = job.report(evaluation, clock.seconds)
    for name, data in files.items():
        job.store.put(keys.report_file(job.resources.root, name), data)
        (out / name).write_bytes(data)
    return summary
