"""Jobs to be measured: of a built-in source, each ready but for the generation of its shards."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Self

from pipelines.chance import derive
from pipelines.engine.engine import Engine
from pipelines.experiments.engine.timing import Size
from pipelines.job import Job
from pipelines.progress import Silent
from pipelines.records import Candidate, Verdict
from pipelines.spec import Machine, VersionSpec, parse
from pipelines.store.object_store import Store
from pipelines.vision.models import Models

REPAINT = {"type": "spurious_removal", "superclass": "shoe", "strength": 0.87, "guidance": 3, "solver": "ddim"}
ATTEMPTS = 6
FILTERS = [{"type": name} for name in ("quality", "near_duplicate", "label_agreement", "attribution")]


class Dropping:
    """A filter that drops a share of the images by chance: where the others keep more than is to be kept."""

    def __init__(self, share: float) -> None:
        self.share = share

    def judge(self, candidates: Sequence[Candidate]) -> list[Verdict]:
        requests = [candidate.request for candidate in candidates]
        chances = [derive(0, "drop", request.index, request.attempt) % 1000 / 1000 for request in requests]
        return [Verdict(reason="by chance" if chance < self.share else None) for chance in chances]


class Jobs:
    """Versions of one source in one store: models are loaded once, and what is learned is learned once."""

    def __init__(self, size: Size, folder: Path, method: Mapping[str, Any], images: int, **changes: Any) -> None:
        document = {
            "name": "bench",
            "source": {"type": "spurious", "train": size.train, "validation": 40, "test": 40},
            "models": {"text_to_image": size.checkpoint},
            "method": method,
            "amount": {"total": images},
            "classifier": {"steps": size.learning},
            **changes,
        }
        self.spec, self.store, self.numbers = parse(document), Store.open(folder), count(1)
        self.models = Models(self.spec.models, Machine(capacity=size.capacity))

    @classmethod
    @contextmanager
    def repainting(cls, size: Size) -> Iterator[Self]:
        """Those that repaint objects, with every filter that a spec for this would have."""
        method = {**REPAINT, "steps": size.steps, "inversion": {"images": 40, "steps": size.learning, "batch": 8}}
        with tempfile.TemporaryDirectory() as folder:
            yield cls(size, Path(folder), method, size.count, filters=FILTERS, max_attempts=ATTEMPTS)

    def ready(self, spec: VersionSpec | None = None, dropping: float = 0.0) -> Job:
        """The next version, planned and learned; a share of its images is dropped by chance."""
        job = Job(spec or self.spec, self.store, Silent(), next(self.numbers), models=self.models)
        assert job.plan.planned
        job.learn()
        if dropping:
            job.panel.filters["chance"] = Dropping(dropping)
        return job


def run(job: Job) -> dict[str, int]:
    """Generate the job, from source to stored shards; return how many images were generated, and how many kept."""
    reports = job.generate(range(job.plan.shards))
    return {key: sum(report[key] for report in reports) for key in ("generated", "kept")}


def engine_of(job: Job) -> Engine:
    assert isinstance(job.engine, Engine)  # the checkpoint is not one that is run whole
    return job.engine
