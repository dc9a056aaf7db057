"""The `counterpoise` command. What needs torch is imported when it is run, not before."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup

from pipelines.errors import CounterpoiseError, SpecError
from pipelines.spec import UploadedSource, VersionSpec, load
from service import operate, remote
from service.demo import demo, show


class Commands(TyperGroup):
    """Every mistake that a user can mend ends a command with one red line and exit code 2."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except CounterpoiseError as error:
            raise fail(str(error)) from None
        except ValueError as error:  # pydantic's, of the settings
            if type(error).__name__ not in ("SettingsError", "ValidationError"):
                raise
            raise fail(f"settings (COUNTERPOISE_*, lists as JSON): {error}") from None


app = typer.Typer(
    help="Makes the training images a dataset lacks.", no_args_is_help=True, add_completion=False, cls=Commands
)
bench_app = typer.Typer(help="Measure what the methods are worth.", no_args_is_help=True)
EXAMPLES = ("spurious", "few-shot", "long-tail")


@contextmanager
def resumable() -> Iterator[None]:
    """Whoever stops it learns that nothing is lost."""
    try:
        yield
    except KeyboardInterrupt:
        Console(stderr=True).print("\nStopped. The same command again goes on where it was.", soft_wrap=True)
        raise typer.Exit(130) from None


def fail(message: str) -> typer.Exit:
    Console(stderr=True, highlight=False).print(message, style="red", markup=False, soft_wrap=True)
    return typer.Exit(2)


@app.command()
def example(name: Annotated[str, typer.Argument(help=f"One of: {', '.join(EXAMPLES)}.")]) -> None:
    """Print a ready spec."""
    if name not in EXAMPLES:
        raise fail(f"example {name!r} does not exist; there are {', '.join(EXAMPLES)}")
    typer.echo((files("service") / "examples" / f"{name}.yaml").read_text(encoding="utf-8"), nl=False)


@app.command()
def run(
    spec: Annotated[Path, typer.Argument(help="The spec, YAML or JSON.")],
    out: Annotated[Path, typer.Option(help="Folder for the version, summary.json and report.html.")],
) -> None:
    """Make a version in this process. Stopped and started again, it goes on where it was."""
    checked = load(spec)
    from pipelines.progress import bars

    with resumable(), bars() as progress:  # first, since the libraries talk while they are imported
        from pipelines.run import run as run_spec

        summary = run_spec(checked, out, progress)
    show(summary, out / "report.html")


@app.command()
def ablate(
    spec: Annotated[Path, typer.Argument(help="A spec with spurious_removal on a built-in source.")],
    out: Annotated[Path, typer.Option(help="Folder for the versions and ablation.json.")],
    variants: Annotated[str, typer.Option(help="Which to run, comma-separated; all if not given.")] = "",
) -> None:
    """Run a spec without each of its parts, and say what each is worth."""
    checked = load(spec)
    from pipelines.progress import bars

    with resumable(), bars() as progress:
        from pipelines.experiments.ablation import VARIANTS
        from pipelines.experiments.ablation import ablate as ablate_spec

        found = ablate_spec(checked, out, variants.split(",") if variants else list(VARIANTS), progress)
    table = Table("variant", "worst group", "average", "kept", "oracle: wrong", "after pruning", "probe AUC")
    for name, row in found["variants"].items():
        accuracy = [f"{100 * row[k]['mean']:.1f} ± {100 * row[k]['std']:.1f}" for k in ("worst_group", "average")]
        rates = [
            "-" if row[k] is None else f"{row[k]:.2f}" for k in ("oracle_wrong_before", "oracle_wrong_after", "probe_auc")
        ]
        table.add_row(name, *accuracy, f"{row['kept']}/{row['generated']}", *rates)
    console = Console(highlight=False)
    console.print(table)
    table = Table("head, alone", "kept", "of those right", "agrees with the oracle", title="Pruning, first variant")
    for name, row in next(iter(found["variants"].values()))["heads"].items():
        table.add_row(name, *(f"{row[k]:.2f}" for k in ("kept", "right", "agreement")))
    console.print(table)
    console.print("overlap with the true masks (IoU): " + ", ".join(f"{k} {v:.2f}" for k, v in found["iou"].items()))


def write_json(file: Path, text: str, mode: str = "w") -> None:
    try:
        with file.open(mode) as opened:
            opened.write(text)
    except OSError as error:
        raise CounterpoiseError(f"--json: {file} cannot be written ({error.strerror}); give another file") from None


@bench_app.command("methods")
def bench_methods(
    json_file: Annotated[Path, typer.Option("--json", help="File for the results.")],
    out: Annotated[Path, typer.Option(help="Folder for versions, table and contact sheets.")] = Path("bench-out"),
    only: Annotated[str, typer.Option(help="Which benchmarks, comma-separated; all if not given.")] = "",
    seeds: Annotated[
        str, typer.Option(help="Comma-separated; each of other source images, generation and training. 0,1,2 if not given.")
    ] = "",
    quick: Annotated[
        bool, typer.Option(help="One seed, three benchmarks, fewer images and steps: minutes, not hours.")
    ] = False,
) -> None:
    """Measure every method on few shots, a long tail and a shortcut, beside what costs less and the ceiling."""
    from pipelines.progress import bars

    try:
        numbers = [int(seed) for seed in (seeds or ("0" if quick else "0,1,2")).split(",")]
    except ValueError:
        raise SpecError(f"--seeds: {seeds!r} is not a list of whole numbers; give them as 0,1,2") from None
    write_json(json_file, "", "a")  # or say now, not after an hour, that it cannot be written
    with bars() as progress:
        from pipelines.experiments.bench import bench
        from pipelines.experiments.benchmarks import FULL, QUICK, QUICK_BENCHMARKS, benchmarks
        from pipelines.experiments.tables import cell

        names = only.split(",") if only else QUICK_BENCHMARKS if quick else list(benchmarks())
        report = bench(names, numbers, out, progress, QUICK if quick else FULL)
    write_json(json_file, json.dumps(report, indent=1) + "\n")
    for name, arms in report["results"].items():
        table = Table(name, "accuracy, %", "of the gap between erm and real_balanced")
        for arm, figure in arms.items():
            share = report["gap_closed"][name].get(arm)
            table.add_row(arm, cell(figure), "" if share is None else f"{share:.0%}")
        Console(highlight=False).print(table)


@app.command()
def validate(
    spec: Annotated[Path, typer.Argument(help="The spec, YAML or JSON.")],
    json_: Annotated[Path | None, typer.Option("--json", help="Write it here as JSON, as it is sent over HTTP.")] = None,
) -> None:
    """Check a spec and its images, and say what it would make."""
    checked = load(spec)
    if json_ is not None:
        write_json(json_, checked.model_dump_json(exclude_unset=True, indent=2) + "\n")
    title = f"{checked.name}: {checked.method.type}, {checked.amount}."
    if isinstance(checked.source, UploadedSource):
        typer.echo(f"{title} The spec is valid; its images lie with a service, and were not looked at.")
        return
    from pipelines.source import requirements
    from pipelines.source.open import open_source
    from pipelines.version.plan import make_plan

    source = open_source(checked.source)
    for line in source.summary:
        typer.echo(line)
    plan = make_plan(checked, "", "", source.counts)
    requirements.check(checked, source)
    typer.echo(f"{title} The spec is valid.")
    typer.echo(f"To be made: {plan.planned} images in {plan.shards} shards.")


@app.command()
def schema() -> None:
    """Print every field of a spec as JSON Schema: its meaning, its default, what it may be."""
    typer.echo(json.dumps(VersionSpec.model_json_schema(), indent=2, ensure_ascii=False))


app.command()(demo)
app.command()(operate.up)
app.command()(operate.api)
app.command()(operate.worker)
app.command()(operate.scheduler)
app.command()(operate.migrate)
app.add_typer(operate.keys_app, name="keys")
app.add_typer(bench_app, name="bench")
app.command()(remote.submit)
app.command()(remote.refresh)
app.command()(remote.promote)
app.command()(remote.schedule)
app.command()(remote.unschedule)
app.command()(remote.status)
app.command()(remote.pull)
app.command("list")(remote.list_versions)
app.command("datasets")(remote.list_datasets)
app.command()(remote.cancel)
app.command()(remote.retry)
app.command()(remote.delete)


if __name__ == "__main__":
    app()
