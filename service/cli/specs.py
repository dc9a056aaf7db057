"""Commands on specs alone: examples, validation, the JSON Schema."""

import json
import math
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
    from pipelines.backbones.memory import Memory

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
    print_checkpoints(checked)
    typer.echo(f"{title} The spec is valid.")
    typer.echo(f"To be made: {quantity(plan.planned, 'image')} in {quantity(plan.shards, 'shard')}.")


def print_checkpoints(spec: VersionSpec) -> None:
    """Say what the spec's own checkpoints are. Raises ModelError or SpecError for those that cannot be used."""
    if spec.models.bundled and spec.classifier.checkpoint is None:
        return
    from pipelines.progress import quiet

    quiet()  # first: the libraries talk while they are imported
    from pipelines.backbones.capabilities import check_capabilities
    from pipelines.backbones.features import FEATURES
    from pipelines.vision.classifier import check_checkpoint
    from pipelines.vision.models import Models

    check_checkpoint(spec.classifier.checkpoint)
    models = Models(spec.models)
    checkpoints = models.inspect()
    for field, inspection in checkpoints.items():
        painting = ", for inpainting" if inspection.layout.inpainting else ""
        distilled = "" if inspection.most_steps is None else f", distilled to {inspection.most_steps} steps at most"
        side = f"{inspection.layout.resolution} pixels a side" if inspection.layout.resolution else "of no size of its own"
        typer.echo(f"{field}: a {inspection.kind}{painting}, {side}{distilled}.")
        if inspection.family is None:
            unavailable = [feature.title for key, feature in FEATURES.items() if key in inspection.limits]
            typer.echo(f"  Run whole, as diffusers runs it: no step-level batching, and no {', '.join(unavailable)}.")
    check_capabilities(spec, checkpoints)
    memory = models.memory(checkpoints)
    if memory is not None:
        typer.echo(memory_line(spec, memory))


def memory_line(spec: VersionSpec, memory: "Memory") -> str:
    """About how much GPU memory a spec needs."""
    from pipelines.backbones.memory import INVERSION, LORA

    needs = {"to generate": memory.generating(Machine().capacity)}
    if spec.method.inversion is not None:
        needs["to learn tokens"] = memory.learning(spec.method.inversion.batch, INVERSION)
    if spec.method.lora is not None:
        needs["to learn a LoRA"] = memory.learning(spec.method.lora.batch, LORA)
    return f"GPU memory, in half precision about: {', '.join(f'{math.ceil(gib)} GiB {aim}' for aim, gib in needs.items())}."


def schema() -> None:
    """Print every field of a spec as JSON Schema: its meaning, its default, what it may be."""
    typer.echo(json.dumps(VersionSpec.model_json_schema(), indent=2, ensure_ascii=False))
