"""Commands on specs alone: examples, validation, the JSON Schema."""

import json
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.errors import SpecError
from pipelines.spec import Machine, UploadedSource, VersionSpec, load
from pipelines.spec.base import quantity
from pipelines.spec.helpers import check_helpers, warnings
from service.cli.output import write_json

if TYPE_CHECKING:
    from pipelines.backbones.checkpoints import Checkpoints

EXAMPLES = ("spurious", "few-shot", "long-tail")


def example(name: Annotated[str, typer.Argument(help=f"One of: {', '.join(EXAMPLES)}.")]) -> None:
    """Print a ready spec."""
    if name not in EXAMPLES:
        raise SpecError(f"example {name!r} does not exist; there are {', '.join(EXAMPLES)}")
    typer.echo((files("service") / "examples" / f"{name}.yaml").read_text(encoding="utf-8"), nl=False)


def validate(
    spec: Annotated[Path, typer.Argument(help="The spec, YAML or JSON.")],
    json_: Annotated[Path | None, typer.Option("--json", help="Write it here as JSON, as it is sent over HTTP.")] = None,
) -> None:
    """Check a spec and its images, and say what it would make."""
    checked = load(spec)
    check_helpers(checked)
    if json_ is not None:
        write_json(json_, checked.model_dump_json(exclude_unset=True, indent=2) + "\n")
    for line in warnings(checked):
        typer.echo(f"Warning: {line}")
    checkpoints = check_checkpoints(checked)  # before the images, which are many
    title = f"{checked.name}: {checked.method.type}, {checked.amount}."
    if isinstance(checked.source, UploadedSource):
        typer.echo(f"{title} The spec is valid; its images lie with a service, and were not looked at.")
        return
    from pipelines.backbones.duration import duration
    from pipelines.source import requirements
    from pipelines.source.open import open_source
    from pipelines.version.plan import make_plan

    source = open_source(checked.source)
    for line in source.summary:
        typer.echo(line)
    plan = make_plan(checked, "", "", source.counts)
    requirements.check(checked, source)
    typer.echo(f"{title} The spec is valid.")
    classes = ", ".join(f"{count:,} {label}" for label, count in plan.per_class.items())
    typer.echo(f"To be made: {quantity(plan.planned, 'image')} in {quantity(plan.shards, 'shard')}: {classes}.")
    if time := duration(checked, plan.planned, checkpoints):
        typer.echo(time)


def check_checkpoints(spec: VersionSpec) -> "Checkpoints":
    """Say what the spec's own checkpoints are, and need. Raises ModelError or SpecError for those, or bundled ones, that
    cannot be used."""
    from pipelines.backbones.capabilities import check_capabilities
    from pipelines.backbones.checkpoints import read_checkpoints
    from pipelines.backbones.description import describe, needs

    checkpoints = read_checkpoints(spec)
    own = not spec.models.bundled
    for description in describe(checkpoints) if own else ():
        typer.echo(description.text)
    check_capabilities(spec, checkpoints.inspections)
    if own and (memory := needs(spec.method, checkpoints, Machine().capacity)):
        typer.echo(memory.text)
    return checkpoints


def schema() -> None:
    """Print every field of a spec as JSON Schema: its meaning, its default, what it may be."""
    typer.echo(json.dumps(VersionSpec.model_json_schema(), indent=2, ensure_ascii=False))
