"""Commands that need no service: a version, an ablation or the bench, in this process."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from pipelines.errors import SpecError
from pipelines.spec import Machine, Precision, check_build, load
from service.cli.output import console, percent, print_summary, write_json
from service.settings import Settings

bench_app = typer.Typer(
    help="Measure what the methods are worth, and how fast the engine is.", no_args_is_help=True, add_completion=False
)


@contextmanager
def resumable() -> Iterator[None]:
    """On Ctrl-C, say that nothing is lost."""
    try:
        yield
    except KeyboardInterrupt:
        Console(stderr=True).print("\nStopped. The same command again goes on where it was.", soft_wrap=True)
        raise typer.Exit(130) from None


def run(
    spec: Annotated[Path, typer.Argument(help="The spec, YAML or JSON.")],
    out: Annotated[Path, typer.Option(help="Folder for the version, summary.json and report.html.")],
    device: Annotated[str, typer.Option(help="auto, cpu, mps, cuda, cuda:1, ...")] = "auto",
    precision: Annotated[
        Precision, typer.Option(help="Of the backbone: bf16, fp16 or fp32; auto: by the machine.")
    ] = "auto",
    capacity: Annotated[int, typer.Option(help="Images denoised at a time; halved when memory runs out.")] = 32,
    offload: Annotated[bool, typer.Option("--offload", help="Keep a T5 text encoder in the CPU's memory.")] = False,
    compile_: Annotated[bool, typer.Option("--compile", help="Compile the denoiser, on a GPU.")] = False,
    cache_dir: Annotated[
        str,
        typer.Option(envvar="COUNTERPOISE_CACHE_DIR", help="Folder on a disk for training images."),
    ] = "",
) -> None:
    """Make a version in this process. Stopped and started again, it goes on where it was."""
    checked = load(spec)
    check_build(device)
    try:
        machine = Machine(
            device=device, precision=precision, capacity=capacity, offload=offload, compile=compile_, cache_dir=cache_dir,
            **Settings().endpoint,
        )  # fmt: skip
    except ValidationError as error:
        reasons = [f"--{problem['loc'][0]}: {problem['input']!r}: {problem['msg']}" for problem in error.errors()]
        raise SpecError("; ".join(reasons).replace("Value error, ", "")) from None
    from pipelines.parallel import permanent
    from pipelines.progress import bars, quiet

    with permanent():
        from pipelines.tensors import choose_device

        choose_device(device)  # raises before the rest is imported
        quiet()  # first: the libraries talk while they are imported
        from pipelines.run import run as run_spec
    with resumable(), bars() as progress:
        summary = run_spec(checked, out, progress, machine)
    print_summary(summary)
    console.print(f"Look at {out / 'report.html'}", soft_wrap=True)


def ablate(
    spec: Annotated[Path, typer.Argument(help="A spec with spurious_removal on a built-in source.")],
    out: Annotated[Path, typer.Option(help="Folder for the versions and ablation.json.")],
    variants: Annotated[str, typer.Option(help="Which to run, comma-separated; all if not given.")] = "",
) -> None:
    """Run a spec without each of its parts, and report what each contributes."""
    checked = load(spec)
    from pipelines.progress import bars

    with resumable(), bars() as progress:
        from pipelines.experiments.ablation import VARIANTS
        from pipelines.experiments.ablation import ablate as ablate_spec

        results = ablate_spec(checked, out, variants.split(",") if variants else list(VARIANTS), progress)
    print_ablation(results)


def print_ablation(results: dict[str, Any]) -> None:
    table = Table("variant", "worst group", "average", "kept", "oracle: wrong", "after pruning", "probe AUC")
    for name, row in results["variants"].items():
        accuracies = [percent(row[metric]) for metric in ("worst_group", "average")]
        rates = [
            "-" if row[k] is None else f"{row[k]:.2f}" for k in ("oracle_wrong_before", "oracle_wrong_after", "probe_auc")
        ]
        table.add_row(name, *accuracies, f"{row['kept']}/{row['generated']}", *rates)
    console.print(table)
    table = Table("head, alone", "kept", "of those right", "agrees with the oracle", title="Pruning, first variant")
    for name, row in next(iter(results["variants"].values()))["heads"].items():
        table.add_row(name, *(f"{row[k]:.2f}" for k in ("kept", "right", "agreement")))
    console.print(table)
    console.print("overlap with the true masks (IoU): " + ", ".join(f"{k} {v:.2f}" for k, v in results["iou"].items()))


@bench_app.command("methods")
def bench_methods(
    json_file: Annotated[Path, typer.Option("--json", help="File for the results.")],
    out: Annotated[Path, typer.Option(help="Folder for versions, table and contact sheets.")] = Path("bench-out"),
    only: Annotated[str, typer.Option(help="Which benchmarks, comma-separated; all if not given.")] = "",
    seeds: Annotated[
        str, typer.Option(help="Comma-separated; each of other source images, generation and training. 0,1,2 if not given.")
    ] = "",
    quick: Annotated[
        bool, typer.Option(help="One seed, eight shots for all, fewer images and steps: an hour, not a night.")
    ] = False,
) -> None:
    """Measure every method on few shots, a long tail and a shortcut, beside what costs less and the ceiling."""
    from pipelines.progress import bars

    try:
        numbers = [int(seed) for seed in (seeds or ("0" if quick else "0,1,2")).split(",")]
    except ValueError:
        raise SpecError(f"--seeds: {seeds!r} is not a list of whole numbers; give them as 0,1,2") from None
    write_json(json_file, "", "a")  # or fail now, not after an hour
    with bars() as progress:
        from pipelines.experiments.bench import bench
        from pipelines.experiments.benchmarks import FULL, QUICK, QUICK_BENCHMARKS, benchmarks
        from pipelines.experiments.claims import cell as claim_cell
        from pipelines.experiments.tables import cell

        names = only.split(",") if only else QUICK_BENCHMARKS if quick else list(benchmarks())
        report = bench(names, numbers, out, progress, QUICK if quick else FULL)
    write_json(json_file, json.dumps(report, indent=1) + "\n")
    for name, arms in report["results"].items():
        table = Table(name, "accuracy, %", "of the gap between erm and real_balanced", "does its claim hold?")
        for arm, figure in arms.items():
            share, claim = report["gap_closed"][name].get(arm), claim_cell(report["claims"][name].get(arm))
            table.add_row(arm, cell(figure), "" if share is None else f"{share:.0%}", claim.replace("`", ""))
        console.print(table)


@bench_app.command("harm")
def bench_harm(
    json_file: Annotated[Path, typer.Option("--json", help="File for the results.")],
    out: Annotated[Path, typer.Option(help="Folder for versions and table.")] = Path("harm-out"),
    count: Annotated[int, typer.Option(min=1, help="How many specs.")] = 30,
    seed: Annotated[int, typer.Option(min=0, help="By which they are drawn.")] = 0,
) -> None:
    """Make versions of random specs, and say which are held because they harm, and how the models of the others are."""
    from pipelines.progress import bars

    write_json(json_file, "", "a")  # or fail now, not after an hour
    with resumable(), bars() as progress:
        from pipelines.experiments.harm import HEAD, harm, outcomes_of, row, sentence

        report = harm(seed, count, out, progress)
    write_json(json_file, json.dumps(report, indent=1) + "\n")
    table = Table(*(name.replace("`", "") for name in HEAD), title="worst group / average, %")
    for one in outcomes_of(report):
        table.add_row(*(cell.replace("`", "") for cell in row(one)))
    console.print(table)
    console.print(sentence(report["sum"]), soft_wrap=True)


@bench_app.command("engine")
def bench_engine(
    json_file: Annotated[Path, typer.Option("--json", help="File for the results, written after each measurement.")],
    rounds: Annotated[int | None, typer.Option(min=1, help="Rounds that medians are of; 5 if not given.")] = None,
    count: Annotated[int | None, typer.Option(min=8, help="Images of an arm and of a job; 96 if not given.")] = None,
    capacity: Annotated[int | None, typer.Option(min=1, help="Images denoised at a time; 32 if not given.")] = None,
    checkpoint: Annotated[str, typer.Option(help="A Stable Diffusion checkpoint: path, hub id, or 'builtin'.")] = "builtin",
    only: Annotated[str, typer.Option(help="Which ratios, comma-separated; all if not given.")] = "",
    quick: Annotated[bool, typer.Option(help="One round, few images and steps: shows that everything runs.")] = False,
) -> None:
    """Measure the engine beside diffusers and its limit, a job beside its engine, and what savings are worth."""
    from pipelines.progress import bars

    write_json(json_file, "", "a")  # or fail now, not after an hour
    with bars() as progress:
        from pipelines.experiments.engine.bench import GOALS, NAMES, bench
        from pipelines.experiments.engine.timing import QUICK, Size

        given: dict[str, Any] = {"rounds": rounds, "count": count, "capacity": capacity, "checkpoint": checkpoint}
        size = replace(QUICK if quick else Size(), **{name: value for name, value in given.items() if value is not None})
        report: dict[str, Any] = {}
        for report in bench(only.split(",") if only else NAMES, size, progress):
            write_json(json_file, json.dumps(report, indent=1) + "\n")
    table = Table("ratio", "measured", "at least")
    for name, value in report["ratios"].items():
        table.add_row(name, f"{value:.2f}", f"{GOALS[name]:.2f}" if name in GOALS else "")
    for capacity_, rate in report.get("images_per_second", {}).items():
        table.add_row(f"images/s, capacity {capacity_}", f"{rate:.1f}", "")
    console.print(table)
