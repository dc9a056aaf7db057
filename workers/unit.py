"""One unit of a version's work, from its lease to its report. The file to read first.

line -> lease -> job.plan | learn | generate | finalize | evaluate -> report, and the next stage in line
"""

import base64
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from pipelines import paths
from pipelines.diff import fall
from pipelines.errors import CounterpoiseError
from pipelines.job import Job
from pipelines.preview import preview
from pipelines.records import Candidate, Image
from pipelines.spec import parse
from pipelines.store import Store
from pipelines.synthetic import png
from service import tracing
from service.broker import Kind, stages
from service.limits import check, check_size
from service.settings import Settings
from service.state import datasets, leases, versions
from service.state.database import Database
from service.state.leases import Lease, LeaseLost
from service.state.tables import Version
from workers import metrics
from workers.heartbeat import Pulse, Stopping
from workers.metrics import Outcome

log = structlog.get_logger()


@dataclass
class Worker:
    """What a working process holds from one unit to the next: the last version's models, which the next unit needs again."""

    settings: Settings
    database: Database
    name: str
    stopping: Callable[[], bool]
    last: tuple[tuple[int, float], Job] | None = None

    def job(self, version_id: int, pulse: Pulse) -> Job:
        version = versions.get(self.database, version_id)
        assert version is not None
        asked = version.id, version.entered["queued"]  # SQLite gives the id of a version that was removed again
        if self.last is not None and self.last[0] == asked:
            self.last[1].bench.progress = pulse
            return self.last[1]
        spec = parse(version.spec)
        check(spec, self.settings)
        store = Store.open(f"{self.settings.store}/{version.tenant}")
        job = Job(spec, store, pulse, version.number, version.previous)
        self.last = asked, job
        return job

    def work(self, kind: Kind) -> bool:
        """Do the unit that is first in line, if any. Returns whether there was one."""
        for unit, _ in leases.in_line(self.database, stages(kind)):
            if lease := leases.acquire(self.database, unit, self.name, self.settings.lease_seconds):
                self.do(lease)
                return True
        return False

    def piece(self, job: Job, lease: Lease) -> tuple[dict[str, Any], dict[str, int] | None]:
        """Do it; return its report and, from planning, how many units each stage has."""
        match lease.stage:
            case "plan":
                if job.unchanged:
                    return {"planned": 0, "ends": "unchanged"}, {}
                plan = job.plan
                check_size(plan.planned, plan.shard_size, self.settings)
                job.check()
                work = {"learn": int(plan.planned > 0), "generate": plan.made, "finalize": 1, "evaluate": 1}
                return {"planned": plan.planned, "shards": plan.made, "carried": plan.held}, work
            case "learn":
                job.learn()
                return {"tokens": sorted(token.name for token in job.method.concepts.tokens.learned.values())}, None
            case "generate":
                return job.generate(lease.number), None
            case "finalize":
                return job.finalize()["counts"], None
            case "evaluate":
                return self.evaluate(job, lease), None

    def evaluate(self, job: Job, lease: Lease) -> dict[str, Any]:
        """Train with and without the version, and put what people look at beside it."""
        version = versions.get(self.database, lease.version)
        assert version is not None
        found = job.evaluate()
        _, files = job.report(found, spent(version.entered))
        for name, data in files.items():
            job.store.put(paths.shown(job.bench.root, name), data)
        job.compare()
        told = {"gap_closed": found["gap_closed"], "probe_auc": found["probe_auc"]}
        return {**told, "ends": "held"} if self.falls(job, version) else told

    def falls(self, job: Job, version: Version) -> bool:
        """Whether a refreshed version is worth so much less than the latest that somebody should look first."""
        dataset = datasets.find(self.database, version.tenant, version.dataset)
        if version.previous is None or dataset is None or dataset.latest is None or job.spec.evaluation is None:
            return False
        margin, latest = job.spec.evaluation.margin, paths.version(version.dataset, dataset.latest)
        return margin is not None and fall(job.store, job.bench.root, latest) > margin

    def preview(self, tenant: str, spec: dict[str, Any], count: int) -> dict[str, Any]:
        """A few images of a spec as an answer to whoever waits: data URLs, or an error that says what to mend."""
        try:
            checked = parse(spec)
            check(checked, self.settings)
            found = preview(checked, Store.open(f"{self.settings.store}/{tenant}"), count)
        except CounterpoiseError as error:
            return {"error": str(error)}
        except Exception as error:
            log.exception("preview failed")
            return {"error": f"the preview failed ({type(error).__name__}: {error}); ask for a version to see more"}
        return {"learned": found.learned, "images": [glimpse(candidate) for candidate in found.candidates]}

    def do(self, lease: Lease) -> None:
        """Work on a unit that is held. Whatever happens, the database knows afterwards, or will when the lease runs out."""
        version, origin = versions.get(self.database, lease.version), versions.origin(self.database, lease.version)
        about: dict[str, str | int] = {"stage": lease.stage, "unit": lease.number, "attempt": lease.attempts}
        if version is not None:
            about |= {"tenant": version.tenant, "dataset": version.dataset, "version": version.number}
        with tracing.work(lease.stage, origin, **about), metrics.at(lease.stage) as ended:
            ended(self.tried(lease))
        metrics.MODELS.set(len(self.last[1].bench.loaded) if self.last else 0)

    def tried(self, lease: Lease) -> Outcome:
        """Do it, and write down how it ended."""
        pulse = Pulse(self.database, lease, self.settings.lease_seconds, self.stopping)
        try:
            with pulse.beating():
                job = self.job(lease.version, pulse)
                began = time.monotonic()
                report, work = self.piece(job, lease)
                seconds = time.monotonic() - began
            leases.complete(self.database, lease, report, work, seconds=seconds)
            log.info("done", seconds=round(seconds, 1))
            return "done"
        except LeaseLost:
            self.last = None
            log.warning("lost to another worker, or cancelled")
            return "lost"
        except Stopping:
            leases.release(self.database, lease)
            log.info("given back")
            return "released"
        except CounterpoiseError as error:
            self.last = None
            log.error("failed", error=str(error))
            tracing.failed(str(error))
            leases.fail(self.database, lease, str(error), again=error.retry)
        except Exception as error:
            self.last = None
            log.exception("failed")
            tracing.failed(f"{type(error).__name__}: {error}")
            leases.fail(self.database, lease, f"{type(error).__name__}: {error}", again=True)
        return "failed"


def spent(entered: dict[str, float]) -> dict[str, float]:
    """Seconds in each stage of a version that is being evaluated, by when it entered its states; 0 for one it had not."""
    until = time.time()
    generating = entered.get("generating", entered["finalizing"])
    seconds = {
        "total": until - entered["planning"],
        "learn": generating - entered.get("learning", generating),
        "generate": entered["evaluating"] - generating,
        "train": until - entered["evaluating"],
    }
    return {stage: round(value, 1) for stage, value in seconds.items()}


def glimpse(candidate: Candidate) -> dict[str, Any]:
    request = candidate.request
    return {
        "label": request.label,
        "origin": request.source.label if request.source else None,
        "prompt": request.prompt,
        "image": data_url(candidate.image, synthetic=True),
        "source": None if request.image is None else data_url(request.image, synthetic=False),
    }


def data_url(image: Image, *, synthetic: bool) -> str:
    return "data:image/png;base64," + base64.b64encode(png(image, synthetic=synthetic)).decode()
