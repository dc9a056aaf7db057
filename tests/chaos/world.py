"""The service under test, of real processes: what is taken from it, and given back."""

import os
import resource
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from pipelines.store.object_store import Store
from tests.flow.deployment import Deployment, deployed
from tests.servers import PostgreSQL, Proxy, credentials, faulty, free_port, postgresql_server, s3

CELERY = ("celery", "-A", "workers.app", "worker", "-Q", "cpu,gpu", "-l", "info")
COMMANDS = {"api": ("service.cli", "api", "--port"), "scheduler": ("service.cli", "scheduler")}  # others are workers


@dataclass
class World:
    """A deployment whose processes have names: api, scheduler, worker-0, worker-1, ..."""

    deployment: Deployment
    port: int  # of the API
    workers: int
    proxy: Proxy | None  # in front of the object store; None: it is a folder
    server: PostgreSQL | None  # None: the database is SQLite
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def names(self) -> list[str]:
        return ["api", "scheduler", *self.worker_names]

    @property
    def worker_names(self) -> list[str]:
        return [f"worker-{n}" for n in range(self.workers)]

    def store(self, tenant: str) -> Store:
        return Store.open(f"{self.deployment.settings.store}/{tenant}")

    def start(self, name: str) -> None:
        """Start a process, unless it runs."""
        if name in self.processes and self.processes[name].poll() is None:
            return
        command = COMMANDS.get(name.partition("+")[0], CELERY)
        arguments = (*command, str(self.port)) if name == "api" else command
        self.processes[name] = self.deployment.spawn(name, *arguments)

    def signal(self, name: str, number: int) -> None:
        """To a process and its children, if they live."""
        with suppress(ProcessLookupError):
            os.killpg(self.processes[name].pid, number)

    def kill(self, name: str) -> None:
        self.signal(name, signal.SIGKILL)
        self.processes[name].wait()

    def children(self, name: str) -> list[int]:
        """The ids of a process's children: of a worker, the one that works."""
        pid = self.processes[name].pid
        with suppress(OSError):
            return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return []

    def limit_files(self, name: str, size: int) -> None:
        """Let a process and its children write no file beyond so many bytes, as on a disk that is full."""
        for pid in (self.processes[name].pid, *self.children(name)):
            with suppress(ProcessLookupError):
                _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))

    def ready(self, seconds: float = 120) -> None:
        """Wait until the API answers. Raises TimeoutError."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/healthz").status_code == 200:
                    return
            time.sleep(0.1)
        raise TimeoutError(f"the API does not answer {seconds:.0f} s after its start")

    def restore(self) -> None:
        """Everything runs."""
        for name in self.names:
            self.start(name)
        self.ready()


@contextmanager
def running(folder: Path, *, workers: int, postgres: bool, remote: bool) -> Iterator[World]:
    """A world in a folder; with its object store on an S3 server if it is `remote`, else in the folder."""
    with ExitStack() as stack:
        server = stack.enter_context(postgresql_server()) if postgres else None
        settings = {"database_url": server.url} if server else {}
        proxy, environment = None, {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        if remote:
            port = stack.enter_context(s3(Path(stack.enter_context(tempfile.TemporaryDirectory()))))
            proxy = stack.enter_context(faulty(port, 0))
            os.environ |= credentials(port)  # our own look at the store goes past the proxy
            environment |= credentials(proxy.port)
            settings["store_url"] = "s3://bucket/all"
        deployment = stack.enter_context(deployed(folder, environment, **settings))
        world = World(deployment, free_port(), workers, proxy, server)
        world.restore()
        yield world
