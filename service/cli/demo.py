"""`counterpoise demo`: the built-in example, submitted over HTTP to a service that is started for it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from pipelines.errors import CounterpoiseError
from pipelines.spec import load
from service.cli.output import console, print_summary
from service.cli.watch import watch
from service.client import Client

EXAMPLE = Path(__file__).parents[1] / "examples" / "spurious.yaml"
MAX_WORKERS = 2  # each holds its own models, about a gigabyte
IDEMPOTENCY_KEY = "demo"  # started again, it is the same version, gone on with


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def worker_count() -> int:
    """One worker for a GPU; without one, a second on a second core."""
    return 1 if Path("/dev/nvidiactl").exists() else min(MAX_WORKERS, os.cpu_count() or 1)


@contextmanager
def demo_service(out: Path) -> Iterator[Client]:
    """The service that COUNTERPOISE_URL names; without, one that is started here, and ended afterwards."""
    if "COUNTERPOISE_URL" in os.environ:
        with Client() as client:
            yield client
        return
    port, state = free_port(), out / "service"
    command = [
        sys.executable,
        "-m",
        "service.cli",
        "up",
        "--port",
        str(port),
        "--state-dir",
        str(state),
        "--workers",
        str(worker_count()),
    ]
    state.mkdir(parents=True, exist_ok=True)
    with (out / "service.log").open("a") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        key = wait_for_key(process, state / "admin.key", out / "service.log")
        with Client(f"http://127.0.0.1:{port}", key) as client:
            yield client
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def wait_for_key(service: subprocess.Popen[bytes], key: Path, log: Path) -> str:
    """The key of a service that was just started. Raises CounterpoiseError if it ends instead."""
    while not key.exists() or not key.read_text().strip():
        try:
            service.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
        raise CounterpoiseError(f"the service did not start; see {log}")
    return key.read_text().strip()


def demo(
    spec: Annotated[Path, typer.Argument(help="The spec.")] = EXAMPLE,
    out: Annotated[Path, typer.Option(help="Folder for the version, summary.json and report.html.")] = Path("demo-out"),
) -> None:
    """Post a spec to a service, watch it, and fetch what it made. Stopped and started again, it goes on.

    The service is the one that COUNTERPOISE_URL names; without, one is started.
    """
    checked = load(spec)
    with demo_service(out) as client:
        version = client.submit(checked, IDEMPOTENCY_KEY)
        address = client.http.base_url.join(f"/v1/datasets/{checked.name}/versions")
        console.print(f"POST {address}: version {version.number}")
        if version.state in ("failed", "cancelled"):
            version = client.retry(version.dataset, version.number)
        version = watch(client, version)
        if version.state != "completed":
            raise CounterpoiseError(version.error or f"the version is {version.state}")
        folder = out / checked.name / f"v{version.number}"
        for _ in client.pull(checked.name, version.number, folder):
            pass
    for file in (folder / "report").iterdir():
        shutil.copy(file, out / file.name)
    print_summary(json.loads((out / "summary.json").read_text()))
    console.print(f"Look at {out / 'report.html'}", soft_wrap=True)
