"""Commands of whoever uses a service that runs somewhere: COUNTERPOISE_URL and COUNTERPOISE_KEY say where."""

import time
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.progress import Progress, TaskID, TextColumn
from rich.table import Table

from pipelines.errors import CounterpoiseError
from pipelines.progress import columns
from pipelines.spec import VersionSpec, load
from service.client import Client
from service.schedules.cron import following
from service.versions.schemas import Happening, ScheduleView, VersionView

console = Console(highlight=False)
Dataset = Annotated[str, typer.Argument(help="Name of the dataset.")]
SHOWN = 20  # refused images that are named
PATIENCE = 10.0  # seconds that somebody in front of a terminal waits for a service that does not answer
Number = Annotated[int, typer.Argument(help="Number of the version.")]


def described(version: VersionView) -> str:
    names = ("planned", "generated", "kept", "dropped", "carried")
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


def sent(client: Client, spec: VersionSpec) -> VersionSpec:
    """The spec, once the images of its folder are sent; what was refused of them is said."""
    wanted, found = client.sent(spec)
    if found is not None:
        console.print(f"{found.images} images sent, {len(found.refused)} refused")
        for each in found.refused[:SHOWN]:
            console.print(f"  {each.id}: {each.reason}", markup=False)
    return wanted


def followed(client: Client, version: VersionView, follow: bool) -> VersionView:
    """Say what was asked for and, if asked to, watch it to its end. Raises CounterpoiseError when nothing came of it."""
    console.print(described(version))
    if follow:
        version = watch(client, version)
        console.print(described(version))
        if version.state in ("failed", "cancelled"):
            raise CounterpoiseError(version.error or f"the version is {version.state}")
    return version


Spec = Annotated[Path, typer.Argument(help="The spec, YAML or JSON.")]
Follow = Annotated[bool, typer.Option("--watch", help="Follow it to its end.")]


def submit(spec: Spec, follow: Follow = False) -> None:
    """Ask the service for a version. A folder of images is sent along."""
    wanted = load(spec)
    with Client() as client:
        followed(client, client.submit(sent(client, wanted)), follow)


def refresh(
    dataset: Dataset,
    spec: Annotated[Path | None, typer.Option(help="The spec; left out, the schedule's or the newest version's.")] = None,
    follow: Follow = False,
) -> None:
    """Make the next version of what has changed in its source, if anything has. A folder of images is sent along."""
    wanted = load(spec) if spec else None
    with Client() as client:
        version = followed(client, client.refresh(dataset, sent(client, wanted) if wanted else None), follow)
    if version.state == "unchanged":
        console.print(f"Nothing has changed since version {version.previous}: there is no new one.")
    if version.state == "held":
        console.print(
            f"Its evaluation is worse than the latest version's: look at diff.json and the report. "
            f"'counterpoise promote {dataset} {version.number}' makes it the latest all the same."
        )


def promote(dataset: Dataset, number: Number) -> None:
    """Make a version the latest: one that was held, or an older one again."""
    with Client(patience=PATIENCE) as client:
        console.print(f"the latest version of {dataset} is {client.promote(dataset, number).latest}")


def schedule(
    spec: Spec,
    cron: Annotated[str, typer.Option(help="Minute, hour, day, month and weekday: '0 3 * * 1'.")],
    time_zone: Annotated[str, typer.Option(help="Whose clock that is: 'Europe/Berlin'.")] = "UTC",
    busy: Annotated[str, typer.Option(help="While a version is on its way: skip, or queue until it has ended.")] = "skip",
    enabled: Annotated[bool, typer.Option(help="Whether it is in force.")] = True,
) -> None:
    """Refresh a dataset by the clock. A folder of images is sent along."""
    wanted = load(spec)
    following(cron, time_zone, time.time())  # or say what is wrong with them before anything is sent
    with Client() as client:
        made = client.schedule(sent(client, wanted), cron, time_zone=time_zone, busy=busy, enabled=enabled)
    console.print(f"{wanted.name}: {told(made)}")


def unschedule(dataset: Dataset) -> None:
    """Refresh a dataset by the clock no more."""
    with Client(patience=PATIENCE) as client:
        client.unschedule(dataset)
    console.print(f"{dataset} has no schedule any more")


def told(schedule: ScheduleView) -> str:
    """A schedule in a line."""
    if schedule.due is None:
        return f"{schedule.cron} {schedule.time_zone}, not enabled"
    due = datetime.fromtimestamp(schedule.due, ZoneInfo(schedule.time_zone)).strftime("%Y-%m-%d %H:%M")
    return f"{schedule.cron} {schedule.time_zone}, next {due}" + (f"; {schedule.said}" if schedule.said else "")


def list_datasets() -> None:
    """All datasets: the latest version of each, which are held, and when it is refreshed."""
    with Client(patience=PATIENCE) as client:
        table = Table("dataset", "latest", "held", "refreshed")
        for each in client.datasets():
            held = ", ".join(str(version.number) for version in each.versions if version.state == "held")
            table.add_row(each.name, str(each.latest or ""), held, told(each.schedule) if each.schedule else "")
    console.print(table)


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
