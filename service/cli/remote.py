"""Commands of a client: the service is the one that COUNTERPOISE_URL names, with the key COUNTERPOISE_KEY."""

import time
from base64 import b64decode
from datetime import datetime
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from pipelines.errors import CounterpoiseError
from pipelines.spec import VersionSpec, load
from pipelines.spec.base import duration, quantity
from service.cli.output import console, print_list, print_shortfalls, print_summary
from service.cli.watch import watch
from service.client import Client
from service.schedules.cron import next_tick
from service.schedules.schemas import ScheduleView
from service.sources.schemas import UploadView
from service.state.lifecycle import PUBLISHED
from service.versions.schemas import VersionView

REFUSED_LISTED = 20  # refused images that are printed
PATIENCE = 10.0  # seconds for which a service that does not answer is tried again; longer where images are uploaded
Dataset = Annotated[str, typer.Argument(help="Name of the dataset.")]
Number = Annotated[int, typer.Argument(help="Number of the version.")]
Spec = Annotated[Path, typer.Argument(help="The spec, YAML or JSON.")]
Follow = Annotated[bool, typer.Option("--watch", help="Follow it to its end.")]


def version_line(version: VersionView) -> str:
    names = ("planned", "generated", "kept", "dropped", "carried")
    counts = ", ".join(f"{version.counts[name]} {name}" for name in names if name in version.counts)
    return f"{version.dataset} {version.number}: {version.state}" + (f" ({counts})" if counts else "")


def upload_line(upload: UploadView) -> str:
    size = f"upload {upload.id} to {upload.source}, {upload.size / 2**20:.1f} MiB"
    return f"{size}: waiting for a worker of the service" if upload.state == "waiting" else f"{size}: {upload.state}"


def upload_folder(client: Client, spec: VersionSpec) -> VersionSpec:
    """The spec of the uploaded source, once the images of its folder are sent and read; what the spec will do badly, and
    images that are refused, are printed."""
    for warning in client.validate(spec).warnings:
        console.print(f"Warning: {warning}", style="yellow", markup=False, soft_wrap=True)
    with console.status("sending the images") as progress:
        uploaded, source = client.upload_folder(spec, lambda upload: progress.update(upload_line(upload)))
    if source is not None:
        console.print(f"{quantity(source.images, 'image')} sent, {len(source.refused)} refused")
        for image in source.refused[:REFUSED_LISTED]:
            console.print(f"  {image.id}: {image.reason}", markup=False)
    return uploaded


def report(client: Client, version: VersionView, follow: bool) -> VersionView:
    """Print a version and, with `follow`, watch it to its end. Raises CounterpoiseError when it failed or was cancelled."""
    console.print(version_line(version))
    if follow:
        version = watch(client, version)
        console.print(version_line(version))
        if version.state in PUBLISHED and not version.error:
            print_summary(client.summary(version.dataset, version.number))
        else:
            print_shortfalls(version.counts)
        if version.state in PUBLISHED:
            line = f"'counterpoise pull {version.dataset} {version.number}' downloads its images, and report/report.html"
            console.print(line, soft_wrap=True)
        if version.state == "held":
            line = f"'counterpoise promote {version.dataset} {version.number}' makes it the latest all the same."
            console.print(f"It is held: look at the report. {line}", soft_wrap=True)
        if version.state in ("failed", "cancelled"):
            raise CounterpoiseError(version.error or f"the version is {version.state}")
        if version.error:
            console.print(f"Published, but {version.error}", style="red", markup=False, soft_wrap=True)
            console.print(f"'counterpoise retry {version.dataset} {version.number}' evaluates it again.", soft_wrap=True)
    return version


def submit(spec: Spec, follow: Follow = False) -> None:
    """Submit a spec, which creates a version. A folder of images is uploaded first."""
    checked = load(spec)
    with Client() as client:
        report(client, client.submit(upload_folder(client, checked)), follow)


def preview(
    spec: Spec,
    count: Annotated[int, typer.Option(help="Images.", min=1, max=16)] = 8,
    out: Annotated[Path, typer.Option(help="Folder to put them in.")] = Path("preview"),
    forecasts: Annotated[bool, typer.Option("--forecast", help="Say, too, whether the version will help.")] = False,
) -> None:
    """A few images of a spec, in seconds. Nothing is learned or stored. A folder of images is uploaded first."""
    checked = load(spec)
    with Client(patience=PATIENCE) as client:
        view = client.preview(upload_folder(client, checked), count, forecast=forecasts)
    out.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(view.images):
        file = out / f"{number:02}-{image.label.replace('/', '-')}.png"
        file.write_bytes(b64decode(image.image.partition(",")[2]))
        console.print(f"{file}: {image.prompt}", markup=False, soft_wrap=True)
    if view.forecast is not None:
        console.print(view.forecast.text, markup=False, soft_wrap=True)


def refresh(
    dataset: Dataset,
    spec: Annotated[Path | None, typer.Option(help="The spec; left out, the schedule's or the newest version's.")] = None,
    follow: Follow = False,
) -> None:
    """Create the next version from what has changed in its source, if anything has. A folder of images is uploaded first."""
    if Path(dataset).suffix in (".yaml", ".yml", ".json"):
        raise CounterpoiseError(f"{dataset} is a spec; give the dataset's name, and the spec by --spec {dataset}")
    checked = load(spec) if spec else None
    with Client() as client:
        version = client.refresh(dataset, upload_folder(client, checked) if checked else None)
        if checked is None:
            print_compared(version)
        version = report(client, version, follow)
    if version.state == "unchanged":
        console.print(f"Nothing has changed since version {version.previous}: there is no new one.")


def print_compared(version: VersionView) -> None:
    """Which state of its uploaded source a version without a spec is compared with: no folder was sent again."""
    source = version.spec["source"]
    if source["type"] == "uploaded":
        console.print(
            f"It compares the last upload to source {source['name']!r} (digest {source['digest']}), and sends nothing: "
            f"'counterpoise refresh {version.dataset} --spec SPEC' sends the folder of a spec again.",
            markup=False,
            soft_wrap=True,
        )


def promote(dataset: Dataset, number: Number) -> None:
    """Make a version the latest: one that was held, or an older one again."""
    with Client(patience=PATIENCE) as client:
        console.print(f"the latest version of {dataset} is {client.promote(dataset, number).latest}")


def schedule(
    spec: Spec,
    cron: Annotated[str, typer.Option(help="Minute, hour, day, month and weekday: '0 3 * * 1'.")],
    time_zone: Annotated[str, typer.Option(help="Time zone of the expression: 'Europe/Berlin'.")] = "UTC",
    busy: Annotated[str, typer.Option(help="While a version is on its way: skip, or queue until it has ended.")] = "skip",
    enabled: Annotated[bool, typer.Option(help="Whether it is in force.")] = True,
) -> None:
    """Refresh a dataset by the clock. A folder of images is uploaded first."""
    checked = load(spec)
    next_tick(cron, time_zone, time.time())  # raises before anything is sent
    with Client() as client:
        uploaded = upload_folder(client, checked)
        view = client.schedule(uploaded, cron, time_zone=time_zone, busy=busy, enabled=enabled)
    console.print(f"{checked.name}: {schedule_line(view)}")


def unschedule(dataset: Dataset) -> None:
    """Refresh a dataset by the clock no more."""
    with Client(patience=PATIENCE) as client:
        client.unschedule(dataset)
    console.print(f"{dataset} has no schedule any more")


def schedule_line(schedule: ScheduleView) -> str:
    line = f"{schedule.cron} {schedule.time_zone}"
    if schedule.next_tick is None:
        return f"{line}, not enabled"
    tick = datetime.fromtimestamp(schedule.next_tick, ZoneInfo(schedule.time_zone)).strftime("%Y-%m-%d %H:%M")
    return f"{line}, next {tick}" + (f"; {schedule.outcome}" if schedule.outcome else "")


def list_datasets() -> None:
    """All datasets: the latest version of each, which are held, and when it is refreshed."""
    with Client(patience=PATIENCE) as client:
        rows = []
        for item in client.datasets():
            held = ", ".join(str(version.number) for version in item.versions if version.state == "held")
            rows.append((item.name, str(item.latest or ""), held, schedule_line(item.schedule) if item.schedule else ""))
    print_list(("dataset", "latest", "held", "refreshed"), rows)


def status(dataset: Dataset, number: Number) -> None:
    """How far a version is."""
    with Client(patience=PATIENCE) as client:
        version = client.version(dataset, number)
    console.print(version_line(version))
    if version.seconds_left is not None:
        console.print(f"about {duration(version.seconds_left)} until all images are generated")
    print_list(("stage", "done", "of"), [(stage, str(n.done), str(n.of)) for stage, n in version.units.items()])
    for line in version.silent:
        console.print(line, style="yellow", markup=False, soft_wrap=True)
    if version.error:
        console.print(version.error, style="red", markup=False, soft_wrap=True)


def cancel(dataset: Dataset, number: Number) -> None:
    """Stop working on a version."""
    with Client(patience=PATIENCE) as client:
        console.print(version_line(client.cancel(dataset, number)))


def retry(dataset: Dataset, number: Number) -> None:
    """Go on with a version that failed or was cancelled."""
    with Client(patience=PATIENCE) as client:
        console.print(version_line(client.retry(dataset, number)))


def delete(
    dataset: Dataset,
    number: Annotated[int | None, typer.Argument(help="Number of the version.")] = None,
    all_versions: Annotated[bool, typer.Option("--all", help="Remove the dataset: all versions, and its schedule.")] = False,
) -> None:
    """Remove a version that has ended, with its files; or a whole dataset."""
    if (number is None) != all_versions:
        raise CounterpoiseError("give either the number of a version, or --all")
    with Client(patience=PATIENCE) as client:
        if number is None:
            client.delete_dataset(dataset)
        else:
            client.delete(dataset, number)
    console.print(f"{dataset}{'' if number is None else f' {number}'} is being removed")


def list_versions(dataset: Annotated[str | None, typer.Option(help="Of this dataset alone.")] = None) -> None:
    """All versions, the newest first."""
    with Client(patience=PATIENCE) as client:
        rows = []
        for version in client.versions(**({"dataset": dataset} if dataset else {})):
            counts = [str(version.counts.get(name, "")) for name in ("kept", "carried", "planned")]
            rows.append((version.dataset, str(version.number), version.state, *counts))
    print_list(("dataset", "version", "state", "kept", "carried", "planned"), rows)
