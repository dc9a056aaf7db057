"""One unit of a version's work, from its lease to its report. The file to read first.

line -> lease -> job.plan | learn | generate | finalize | evaluate -> report, and the next stage in line
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from pipelines import paths
from pipelines.errors import CounterpoiseError
from pipelines.job import Job
from pipelines.spec import parse
from pipelines.store import Store
from service.limits import check
from service.queue import Kind, stages
from service.settings import Settings
from service.state import leases, versions
from service.state.database import Database
from service.state.flow import Stage
from service.state.leases import Lease, LeaseLost
from workers.pulse import Pulse, Stopping

log = structlog.get_logger()
Done = tuple[dict[str, Any], dict[str, int] | None]


@dataclass
class Worker:
    """What a working process holds from one unit to the next: the last version's models, which the next unit needs again."""

    settings: Settings
    database: Database
    name: str
    stopping: Callable[[], bool]
    last: tuple[int, Job] | None = None

    def job(self, version_id: int, pulse: Pulse) -> Job:
        if self.last is not None and self.last[0] == version_id:
            self.last[1].bench.progress = pulse
            return self.last[1]
        version = versions.get(self.database, version_id)
        assert version is not None
        spec = parse(version.spec)
        check(spec, self.settings)
        job = Job(spec, Store.open(f"{self.settings.store}/{version.tenant}"), pulse, version.number)
        self.last = version_id, job
        return job

    def work(self, kind: Kind) -> bool:
        """Do the unit that is first in line, if any. Returns whether there was one."""
        for unit, _ in leases.in_line(self.database, stages(kind)):
            if lease := leases.acquire(self.database, unit, self.name, self.settings.lease_seconds):
                self.do(lease)
                return True
        return False

    def publish(self, job: Job, version_id: int) -> None:
        """Put what people look at beside the version."""
        version = versions.get(self.database, version_id)
        assert version is not None
        _, files = job.report(job.evaluate(), spent(version.entered))
        for name, data in files.items():
            job.store.put(paths.shown(job.bench.root, name), data)

    def do(self, lease: Lease) -> None:
        """Work on a unit that is held. Whatever happens, the database knows afterwards, or will when the lease runs out."""
        pulse = Pulse(self.database, lease, self.settings.lease_seconds, self.stopping)
        bound = log.bind(version=lease.version, stage=lease.stage, number=lease.number, attempt=lease.attempts)
        try:
            with pulse.beating():
                job = self.job(lease.version, pulse)
                report, work = PIECES[lease.stage](job, lease.number)
                if lease.stage == "evaluate":
                    self.publish(job, lease.version)
            leases.complete(self.database, lease, report, work)
            bound.info("done")
        except LeaseLost:
            self.last = None
            bound.warning("lost to another worker, or cancelled")
        except Stopping:
            leases.release(self.database, lease)
            bound.info("given back")
        except CounterpoiseError as error:
            self.last = None
            bound.error("failed", error=str(error))
            leases.fail(self.database, lease, str(error), again=error.retry)
        except Exception as error:
            self.last = None
            bound.exception("failed")
            leases.fail(self.database, lease, f"{type(error).__name__}: {error}", again=True)


def spent(entered: dict[str, float]) -> dict[str, float]:
    """Seconds in each stage of a version that is being evaluated, by when it entered its states."""
    until = time.time()
    seconds = {
        "total": until - entered["planning"],
        "learn": entered["generating"] - entered["learning"],
        "generate": entered["evaluating"] - entered["generating"],
        "train": until - entered["evaluating"],
    }
    return {stage: round(value, 1) for stage, value in seconds.items()}


def plan(job: Job, _number: int) -> Done:
    found = job.plan
    job.check()
    work = {"learn": 1, "generate": found.shards, "finalize": 1, "evaluate": 1}
    return {"planned": found.planned, "shards": found.shards}, work


def learn(job: Job, _number: int) -> Done:
    job.learn()
    return {"tokens": sorted(token.name for token in job.method.tokens.learned.values())}, None


def generate(job: Job, number: int) -> Done:
    return job.generate(number), None


def finalize(job: Job, _number: int) -> Done:
    return job.finalize()["counts"], None


def evaluate(job: Job, _number: int) -> Done:
    found = job.evaluate()
    return {"gap_closed": found["gap_closed"], "probe_auc": found["probe_auc"]}, None


PIECES: dict[Stage, Callable[[Job, int], Done]] = {
    "plan": plan,
    "learn": learn,
    "generate": generate,
    "finalize": finalize,
    "evaluate": evaluate,
}
