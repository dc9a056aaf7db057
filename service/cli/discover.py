"""`counterpoise discover`: what a plain classifier leans on beside the object."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.errors import SpecError
from pipelines.spec import Classifier
from pipelines.spec.models import BUILTIN
from service.cli.inspect import source_named, write
from service.cli.output import console, print_list

if TYPE_CHECKING:
    from pipelines.discovery.suspects import Discovery


def classifier_of(spec: Classifier, checkpoint: str | None, steps: int | None) -> Classifier:
    """The spec's classifier with what the options change. Raises SpecError."""
    if steps is not None and steps < 1:
        raise SpecError(f"--steps: {steps} is too few; give 1 or more")
    changes = {"checkpoint": checkpoint, "steps": steps}
    return spec.model_copy(update={name: value for name, value in changes.items() if value is not None})


def discover(
    source: Annotated[str, typer.Argument(help="A folder, a pattern of shards, an id of the hub, or a spec.")],
    out: Annotated[Path, typer.Option(help="Folder for discover.html and discovery.json.")] = Path("."),
    as_json: Annotated[bool, typer.Option("--json", help="Print discovery.json, and nothing else.")] = False,
    classifier: Annotated[
        str | None, typer.Option(help="Image classifier to fine-tune; else the spec's, or a small one from scratch.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Optimisation steps; else the spec's, or 400.")] = None,
    clip: Annotated[str, typer.Option(help="Checkpoint of CLIP that puts suspects into words.")] = BUILTIN,
    prompt_steps: Annotated[
        int,
        typer.Option(min=0, max=100_000, help="Steps to find words where no list has any: 3000; 0: none are looked for."),
    ] = 0,
) -> None:
    """Look for shortcuts: background, border, colour, position, compression or blur that a plain classifier leans on."""
    opened, spec = source_named(source)
    trained = classifier_of(Classifier() if spec is None else spec.classifier, classifier, steps)
    write(out, {})
    from pipelines.progress import SILENT, bars
    from pipelines.source.open import open_source

    with bars() as terminal:
        from pipelines.builtin.checkpoints import resolve
        from pipelines.discovery.discover import discover as discover_shortcuts
        from pipelines.discovery.exhibits import exhibits
        from pipelines.discovery.page import render
        from pipelines.discovery.study import study
        from pipelines.vision.clip import Clip

        progress = SILENT if as_json else terminal
        progress.say(f"Reading {source}")
        words = Clip(resolve(clip, "clip"))
        looked = study(open_source(opened), trained, progress)
        discovery, evidence = discover_shortcuts(
            looked, words, progress, name=source, checkpoint=clip, prompt_steps=prompt_steps
        )
        page = render(
            discovery, {one.attribute: exhibits(looked, one.attribute, evidence[one.attribute]) for one in discovery.named}
        )
    document = json.dumps(discovery.document, indent=1, ensure_ascii=False) + "\n"
    write(out, {"discover.html": page, "discovery.json": document})
    if as_json:
        typer.echo(document, nl=False)
    else:
        print_discovery(discovery)
        console.print(f"Look at {out / 'discover.html'}", markup=False, soft_wrap=True)


def print_discovery(discovery: "Discovery") -> None:
    """A line for each attribute, then what to do about the suspects."""
    console.print(f"The plain classifier tells {100 * discovery.accuracy:.0f} % of the held-out images.")
    for note in discovery.notes:
        console.print(note, markup=False, soft_wrap=True)
    rows = []
    for one in discovery.suspects:
        spoken = {**one.words, **{label: f"'{prompt.text}'" for label, prompt in one.prompts.items()}}
        words = "; ".join(f"{label}: {word}" for label, word in spoken.items())
        result = f"SUSPECT{f' ({words})' if words else ''}" if one.suspected else "-"
        rows.append((one.attribute, f"{100 * one.own:.0f} %", f"{100 * one.other:.0f} %", result))
    print_list(("attribute", "own class's", "another's", "result"), rows)
    if not discovery.named:
        console.print("No shortcut was found among these.")
    for one in discovery.named:
        console.print(f"{one.attribute}: {one.remedy}", markup=False, soft_wrap=True)
