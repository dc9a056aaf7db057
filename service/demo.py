"""`counterpoise demo`: the built-in example, asked for over HTTP of a service that is started for it."""

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
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from pipelines.errors import CounterpoiseError
from pipelines.spec import load
from pipelines.spec.arms import ARMS
from service.client import Client
from service.remote import watch

console = Console(highlight=False)
EXAMPLE = Path(__file__).parent / "examples" / "spurious.yaml"
FEW = 0.2  # share of what was asked for, below which somebody should look why
KEY = "demo"  # the Idempotency-Key: started again, it is the same version, gone on with


def show(summary: dict[str, Any], report: Path) -> None:
    """What came of a version, for people."""
    if summary["arms"]:
        table = Table("trained on", "average", "worst group", title=f"Accuracy on real test images: {summary['name']}")
        for arm in (arm for arm in ARMS if arm in summary["arms"]):
            found = summary["arms"][arm]
            cells = [f"{100 * found[k]['mean']:.1f} ± {100 * found[k]['std']:.1f} %" for k in ("average", "worst_group")]
            table.add_row(ARMS[arm].title, *cells)
        console.print(table)
    if summary["gap_closed"] is not None:
        console.print(
            f"{summary['gap_closed']:.0%} of the gap between ERM and the ceiling in worst-group accuracy is closed."
        )
    counts = summary["counts"]
    console.print(f"{counts['kept']} of {counts['generated']} generated images kept; {summary['seconds']['total']:.0f} s.")
    if counts["kept"] < FEW * counts["planned"]:
        worst = max(counts["reasons"], key=counts["reasons"].get, default="")
        dropped = f"; {counts['reasons'][worst]} were dropped by {worst!r}" if worst else ""
        console.print(
            f"Few of the {counts['planned']} that were asked for{dropped}. Its settings are in the spec's filters."
        )
    console.print(f"Look at {report}", soft_wrap=True)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def service(out: Path) -> Iterator[Client]:
    """The service that COUNTERPOISE_URL names; without, one that is started here, and ended afterwards."""
    if "COUNTERPOISE_URL" in os.environ:
        with Client() as client:
            yield client
        return
    port, state = free_port(), out / "service"
    command = [sys.executable, "-m", "service.cli", "up", "--port", str(port), "--state-dir", str(state)]
    state.mkdir(parents=True, exist_ok=True)
    with (out / "service.log").open("a") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        with Client(f"http://127.0.0.1:{port}", started(process, state / "admin.key", out / "service.log")) as client:
            yield client
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def demo(
    spec: Annotated[Path, typer.Argument(help="The spec.")] = EXAMPLE,
    out: Annotated[Path, typer.Option(help="Folder for the version, summary.json and report.html.")] = Path("demo-out"),
) -> None:
    """Post a spec to a service, watch it, and fetch what it made. Stopped and started again, it goes on.

    The service is the one that COUNTERPOISE_URL names; without, one is started.
    """
    asked = load(spec)
    with service(out) as client:
        version = client.submit(asked, KEY)
        address = client.http.base_url.join(f"/v1/datasets/{asked.name}/versions")
        console.print(f"POST {address}: version {version.number}")
        if version.state in ("failed", "cancelled"):
            version = client.retry(version.dataset, version.number)
        version = watch(client, version)
        if version.state != "completed":
            raise CounterpoiseError(version.error or f"the version is {version.state}")
        for _ in client.pull(asked.name, version.number, out / asked.name / f"v{version.number}"):
            pass
    made = out / asked.name / f"v{version.number}" / "report"
    for file in made.iterdir():
        shutil.copy(file, out / file.name)
    show(json.loads((out / "summary.json").read_text()), out / "report.html")


def started(service: subprocess.Popen[bytes], key: Path, log: Path) -> str:
    """The key of a service that was just started. Raises CounterpoiseError if it ends instead."""
    while not key.exists() or not key.read_text().strip():
        try:
            service.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
        raise CounterpoiseError(f"the service did not start; see {log}")
    return key.read_text().strip()
