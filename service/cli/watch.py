"""Progress bars of a version that a service makes, from its events."""

from typing import Any

from rich.progress import Progress, TaskID, TextColumn

from pipelines.progress import columns
from service.cli.output import console
from service.client import Client
from service.versions.schemas import VersionEvent, VersionView


class VersionProgress:
    """A bar for each stage, and one of all images with their rate, kept share and time left."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.tasks: dict[str, TaskID] = {}
        self.generated = self.kept = 0

    def task(self, name: str, total: float | None) -> TaskID:
        if name not in self.tasks:
            self.tasks[name] = self.progress.add_task(name, total=total, detail="")
        return self.tasks[name]

    def handle(self, event: VersionEvent) -> None:
        data = event.data
        if event.kind == "state":
            self.progress.console.print(data["state"])
        elif event.kind == "progress" and "stage" in data:
            self.progress.update(self.task(data["stage"], data["total"]), completed=data["done"], total=data["total"])
        elif event.kind == "progress":
            self.progress.console.print(data["message"])
        elif data["stage"] == "plan":
            self.task("images", data["report"]["planned"])
        elif data["stage"] == "generate":
            self.add_shard(data["report"])

    def add_shard(self, report: dict[str, Any]) -> None:
        self.generated, self.kept = self.generated + report["generated"], self.kept + report["kept"]
        task = self.task("images", None)
        self.progress.advance(task, report["planned"])
        speed = self.progress.tasks[task].speed
        rate = f"{speed:.1f} images/s, " if speed else ""
        self.progress.update(task, detail=f"{rate}{self.kept / max(1, self.generated):.0%} of {self.generated} kept")


def watch(client: Client, version: VersionView) -> VersionView:
    """Show the progress of a version until it ends; return it as it ended."""
    with Progress(*columns(), TextColumn("{task.fields[detail]}"), console=console) as progress:
        display = VersionProgress(progress)
        for event in client.events(version.dataset, version.number):
            display.handle(event)
    return client.version(version.dataset, version.number)
