"""Commands of whoever uses a service that runs somewhere: COUNTERPOISE_URL and COUNTERPOISE_KEY say where."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress, TaskID, TextColumn
from rich.table import Table

from pipelines.errors import CounterpoiseError
from pipelines.progress import columns
from pipelines.spec import load
from service.client import Client
from service.schemas import Happening, VersionView

console = Console(highlight=False)
Dataset = Annotated[str, typer.Argument(help="Name of the dataset.")]
SHOWN = 20  # refused images that are named
PATIENCE = 10.0  # seconds that somebody in front of a terminal waits for a service that does not answer
Number = Annotated[int, typer.Argument(help="Number of the version.")]


def described(version: VersionView) -> str:
    names = ("planned", "generated", "kept", "dropped")
    counts = ", ".join(f"{version.counts[name]} {name}" for name in names if name in version.counts)
    return f"{version.dataset} {version.number}: {version.state}" + (f" ({counts})" if counts else "")


class Watch:
    """Bars of what is being done: each stage's, and one of all images with their rate, kept share and time left."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.tasks: dict[str, TaskID] = {}
        self.generated = self.kept = 0

    def bar(self, name: str, total: float | None) -> TaskID:
        if name not in self.tasks:
            self.tasks[name] = self.progress.add_task(name, total=total, said="")
        return self.tasks[name]

    def tell(self, happening: Happening) -> None:
        data = happening.data
        if happening.kind == "state":
            self.progress.console.print(data["state"])
        elif happening.kind == "progress" and "stage" in data:
            self.progress.update(self.bar(data["stage"], data["total"]), completed=data["done"], total=data["total"])
        elif happening.kind == "progress":
            self.progress.console.print(data["said"])
        elif data["stage"] == "plan":
            self.bar("images", data["report"]["planned"])
        elif data["stage"] == "generate":
            self.count(data["report"])

    def count(self, report: dict[str, Any]) -> None:
        """Another shard is done."""
        self.generated, self.kept = self.generated + report["generated"], self.kept + report["kept"]
        task = self.bar("images", None)
        self.progress.advance(task, report["planned"])
        speed = self.progress.tasks[task].speed
        rate = f"{speed:.1f} images/s, " if speed else ""
        self.progress.update(task, said=f"{rate}{self.kept / max(1, self.generated):.0%} of {self.generated} kept")


def watch(client: Client, version: VersionView) -> VersionView:
    """Show what happens to a version until it ends."""
    with Progress(*columns(), TextColumn("{task.fields[said]}"), console=console) as progress:
        seen = Watch(progress)
        for happening in client.events(version.dataset, version.number):
            seen.tell(happening)
    return client.version(version.dataset, version.number)


def submit(
    spec: Annotated[Path, typer.Argument(help="The spec, YAML or JSON.")],
    follow: Annotated[bool, typer.Option("--watch", help="Follow it to its end.")] = False,
) -> None:
    """Ask the service for a version. A folder of images is sent along."""
    wanted = load(spec)
    with Client() as client:
        wanted, found = client.sent(wanted)
        if found is not None:
            console.print(f"{found.images} images sent, {len(found.refused)} refused")
            for each in found.refused[:SHOWN]:
                console.print(f"  {each.id}: {each.reason}", markup=False)
        version = client.submit(wanted)
        console.print(described(version))
        if follow:
            version = watch(client, version)
            console.print(described(version))
            if version.state != "completed":
                raise CounterpoiseError(version.error or f"the version is {version.state}")


def status(dataset: Dataset, number: Number) -> None:
    """How far a version is."""
    with Client(patience=PATIENCE) as client:
        version = client.version(dataset, number)
    console.print(described(version))
    table = Table("stage", "done", "of")
    for stage, units in version.units.items():
        table.add_row(stage, str(units.done), str(units.of))
    console.print(table)
    if version.error:
        console.print(version.error, style="red", markup=False)


def pull(dataset: Dataset, number: Number, out: Annotated[Path, typer.Option(help="Folder to put it in.")] = Path()) -> None:
    """Download a published version."""
    folder = out / dataset / f"v{number}"
    with Client(patience=PATIENCE) as client:
        count = sum(1 for _ in client.pull(dataset, number, folder))
    console.print(f"{count} files in {folder}", soft_wrap=True)


def cancel(dataset: Dataset, number: Number) -> None:
    """Stop working on a version."""
    with Client(patience=PATIENCE) as client:
        console.print(described(client.cancel(dataset, number)))


def retry(dataset: Dataset, number: Number) -> None:
    """Go on with a version that failed or was cancelled."""
    with Client(patience=PATIENCE) as client:
        console.print(described(client.retry(dataset, number)))


def delete(dataset: Dataset, number: Number) -> None:
    """Remove a version that has ended, with its files."""
    with Client(patience=PATIENCE) as client:
        client.delete(dataset, number)
    console.print(f"{dataset} {number} is removed")


def list_versions(dataset: Annotated[str | None, typer.Option(help="Of this dataset alone.")] = None) -> None:
    """All versions, the newest first."""
    with Client(patience=PATIENCE) as client:
        table = Table("dataset", "version", "state", "kept", "planned")
        for each in client.versions(**({"dataset": dataset} if dataset else {})):
            counts = [str(each.counts.get(name, "")) for name in ("kept", "planned")]
            table.add_row(each.dataset, str(each.number), each.state, *counts)
    console.print(table)
