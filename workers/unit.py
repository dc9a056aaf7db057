"""One unit of a version's work, from its lease to its report. The file to read first.

queue -> lease -> job.plan | learn | generate | finalize | evaluate | report -> report; after the last the next stage's
An upload has one unit alone: queue -> lease -> ingest.read -> report
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog
from sqlalchemy.exc import OperationalError
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from pipelines.errors import CounterpoiseError
from pipelines.job import Job
from pipelines.source.upload import make_newest
from pipelines.spec import parse
from pipelines.store import keys
from pipelines.version.finalize import totals
from pipelines.version.score_order import write_orders
from pipelines.version.verdicts import HumanVerdict
from pipelines.vision.models import Models
from service import tracing
from service.limits import check, check_size
from service.settings import Settings
from service.state import datasets, deletions, events, leases, queue, uploads, verdicts, versions
from service.state.database import Database
from service.state.leases import Lease, LeaseLost
from service.state.lifecycle import WorkerKind, stages_of
from service.state.tables import Version
from service.tenants import open_store
from workers import ingest, metrics
from workers.deletion import delete_files
from workers.heartbeat import Heartbeat, Stopping
from workers.metrics import Outcome

log = structlog.get_logger()


@dataclass
class Worker:
    """The state of a process from one unit to the next: the job of the last version, and its models for the next version."""

    settings: Settings
    database: Database
    name: str
    stopping: Callable[[], bool]
    last: tuple[int, Job] | None = None

    def job(self, version_id: int, heartbeat: Heartbeat) -> Job:
        version = versions.get(self.database, version_id)
        assert version is not None
        if self.last is not None and self.last[0] == version_id:
            self.last[1].resources.progress, self.last[1].resources.fence = heartbeat, heartbeat.lease.fence
            return self.last[1]
        spec = parse(version.spec)
        check(spec, self.settings)
        store = open_store(self.settings, version.tenant)
        models = Models(spec.models, self.settings.machine)
        if self.last is not None and self.last[1].spec.models == spec.models:
            models = self.last[1].resources.models
        job = Job(spec, store, heartbeat, version.number, version.previous, models)
        job.resources.fence = heartbeat.lease.fence
        self.last = version_id, job
        return job

    def run_next(self, kind: WorkerKind) -> bool:
        """Run the first unit of the queue that can be leased. Returns whether there was one."""
        cap = self.settings.max_running_units
        for unit, _ in queue.next_units(self.database, stages_of(kind), running_cap=cap):
            if lease := leases.acquire(self.database, unit, self.name, self.settings.lease_seconds, cap):
                self.run(lease)
                return True
        return False

    def run_stage(self, job: Job, lease: Lease) -> tuple[dict[str, Any], dict[str, int] | None]:
        """Run the stage of a unit; return its report and, from planning alone, the number of units of each stage."""
        match lease.stage:
            case "plan":
                job.obey(self.verdicts(lease))
                if job.unchanged:
                    return {"planned": 0, "ends": "unchanged"}, {}
                job.check()  # first: a source can be mended until it is planned
                plan = job.plan
                check_size(plan.planned, plan.shard_size, self.settings)
                unit_counts = {
                    "learn": int(plan.planned > 0),
                    "generate": plan.units,
                    "finalize": 1,
                    "evaluate": job.evaluation_units,
                    "report": 1,
                }
                return {"planned": plan.planned, "shards": plan.written_shards, "carried": plan.carried_samples}, unit_counts
            case "learn":
                job.learn()
                tokens = sorted(token.name for token in job.method.concepts.tokens.learned.values())
                return {"tokens": tokens, "artifacts": job.resources.artifacts.keys}, None
            case "generate":
                return totals(job.generate(job.plan.unit(lease.number)), []), None
            case "finalize":
                manifest = job.finalize()
                own = [file["size"] for file in manifest["files"] if "key" not in file]  # others lie with earlier versions
                return {**manifest["counts"], "bytes": sum(own)}, None
            case "evaluate":
                version = self.version(lease)
                if "report" in version.unit_counts:
                    return job.evaluate_unit(lease.number), None
                return self.report(job, version), None  # planned by an older release: all of it is one unit
            case "report":
                return self.report(job, self.version(lease)), None
            case _:
                raise AssertionError(f"{lease.stage} is no stage of making a version")

    def verdicts(self, lease: Lease) -> list[HumanVerdict]:
        """What people decided about the samples of the version that is refreshed."""
        assert lease.version is not None
        version = versions.get(self.database, lease.version)
        if version is None or version.previous is None:
            return []
        before = versions.find(self.database, version.tenant, version.dataset, version.previous)
        return verdicts.of_version(self.database, before.id) if before else []

    def version(self, lease: Lease) -> Version:
        assert lease.version is not None
        version = versions.get(self.database, lease.version)
        assert version is not None
        return version

    def report(self, job: Job, version: Version) -> dict[str, Any]:
        """Write evaluation, report and diff of a version beside it; what is missing of the evaluation is done first. Of each
        object the first writer wins."""
        evaluation = job.evaluate()
        summary, files = job.report(evaluation, stage_seconds(version.entered), self.latest(job, version))
        for name, data in files.items():
            job.store.put_first(keys.report_file(job.resources.root, name), data)
        write_orders(job.store, job.resources.root, job.plan)
        job.compare()
        report = {"gap_closed": evaluation["gap_closed"], "probe_auc": evaluation["probe_auc"]}
        return {**report, "ends": "held", "held": summary["held"]} if summary["held"] else report

    def latest(self, job: Job, version: Version) -> dict[str, Any] | None:
        """The evaluation of the dataset's latest version, if the version is a refresh and both are there."""
        dataset = datasets.find(self.database, version.tenant, version.dataset)
        if version.previous is None or dataset is None or dataset.latest is None:
            return None
        key = keys.evaluation(keys.version(version.dataset, dataset.latest))
        return dict(job.store.json(key)) if job.store.exists(key) else None

    def work(self, lease: Lease, heartbeat: Heartbeat) -> Callable[[], None]:
        """Do the work of a unit; return the call that completes its lease."""
        if lease.version is None:
            return self.read_upload(lease, heartbeat)
        if lease.stage == "delete":
            delete_files(self.settings, self.database, lease.version, heartbeat.check)
            return partial(deletions.complete, self.database, lease)
        job = self.job(lease.version, heartbeat)
        start = time.monotonic()
        report, unit_counts = self.run_stage(job, lease)
        return partial(leases.complete, self.database, lease, report, unit_counts, time.monotonic() - start)

    def read_upload(self, lease: Lease, heartbeat: Heartbeat) -> Callable[[], None]:
        assert lease.upload is not None
        upload = uploads.get(self.database, lease.upload)
        assert upload is not None
        report = ingest.read(ingest.Task.of(upload, self.settings), heartbeat)
        newest = partial(make_newest, open_store(self.settings, upload.tenant), upload.source, report["digest"])
        return lambda: leases.complete_upload(self.database, lease, report, newest)

    def discard_archive(self, upload_id: int) -> None:
        """Remove what was sent, once it is read or has failed for good."""
        upload = uploads.get(self.database, upload_id)
        if upload is not None and upload.ended is not None:
            open_store(self.settings, upload.tenant).delete(upload.key)

    def run(self, lease: Lease) -> None:
        """Run a leased unit, with a span of its trace, its lines in the log and its metrics."""
        attributes: dict[str, str | int] = {"stage": lease.stage, "unit": lease.number, "attempt": lease.attempts}
        origin: dict[str, str] = {}
        if lease.version is not None and (version := versions.get(self.database, lease.version)) is not None:
            origin = events.origin(self.database, lease.version)
            attributes |= {"tenant": version.tenant, "dataset": version.dataset, "version": version.number}
        with tracing.span(lease.stage, origin, **attributes), metrics.measure(lease.stage) as count:
            count(self.attempt(lease))
            if lease.upload is not None:
                self.discard_archive(lease.upload)
        metrics.MODELS.set(len(self.last[1].resources.loaded) if self.last else 0)

    def attempt(self, lease: Lease) -> Outcome:
        """Run it under a heartbeat, and end its lease: whatever happens, the database knows, or the lease expires."""
        settings = self.settings
        heartbeat = Heartbeat(self.database, lease, settings.lease_seconds, self.stopping, settings.unit_seconds)
        start = time.monotonic()
        try:
            with heartbeat.running():
                ended = self.end(self.work(lease, heartbeat))
            log.info("done" if ended else "lost to another worker", seconds=round(time.monotonic() - start, 1))
            return "done" if ended else "lost"
        except LeaseLost:  # cancelled: then the lease is in force, and the version waits for its end
            self.last = None
            cancelled = self.end(lambda: leases.release(self.database, lease, time.monotonic() - start))
            log.warning("cancelled" if cancelled else "lost to another worker")
            return "lost"
        except Stopping:
            self.end(lambda: leases.release(self.database, lease, time.monotonic() - start))
            log.info("given back")
            return "released"
        except CounterpoiseError as failure:
            error, again = str(failure), failure.retry
            log.error("failed", error=error)
        except Exception as failure:
            error, again = f"{type(failure).__name__}: {failure}", True
            log.exception("failed")
        self.last = None
        tracing.record_failure(error)
        self.end(lambda: leases.fail(self.database, lease, error, again=again, seconds=time.monotonic() - start))
        return "failed"

    def end(self, call: Callable[[], None]) -> bool:
        """End a lease by a call; whether it was in force. While the database is away the call is made again, for as long as
        a lease lasts: then it expires."""
        lasting = stop_after_delay(self.settings.lease_seconds)
        away = retry_if_exception_type(OperationalError)
        try:
            Retrying(retry=away, stop=lasting, wait=wait_random_exponential(0.1, 2), reraise=True)(call)
        except LeaseLost:
            return False
        except OperationalError as error:
            log.error("lease not ended", error=str(error.orig))
            return False
        return True


def stage_seconds(entered: dict[str, float]) -> dict[str, float]:
    """Seconds in each stage of a version that is being reported on, by when it entered its states; 0 for one it had not."""
    until = time.time()
    published = entered.get("evaluating", entered.get("reporting", until))
    generating = entered.get("generating", entered["finalizing"])
    seconds = {
        "total": until - entered["planning"],
        "learn": generating - entered.get("learning", generating),
        "generate": published - generating,
        "train": entered.get("reporting", until) - published,
    }
    return {stage: round(value, 1) for stage, value in seconds.items()}
