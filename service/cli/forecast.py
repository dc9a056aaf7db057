"""`counterpoise forecast`: what a version is worth, from a preview of it, before it is paid for."""

import json
from pathlib import Path
from typing import Annotated

import typer

from pipelines.spec import load
from service.cli.output import console, write_json


def forecast(
    spec: Annotated[Path, typer.Argument(help="The spec, YAML or JSON.")],
    out: Annotated[Path | None, typer.Option(help="Folder of an earlier run, whose tokens are used where they fit.")] = None,
    images: Annotated[int, typer.Option(min=8, max=1000, help="Images of the preview.")] = 64,
    json_: Annotated[Path | None, typer.Option("--json", help="Write it here as JSON, too.")] = None,
) -> None:
    """Say whether a version will help, and what it costs, from a preview of it. Nothing is learned or kept."""
    checked = load(spec)
    if json_ is not None:
        write_json(json_, "", "a")  # or fail now, not after the preview
    from pipelines.progress import bars

    with bars() as progress:
        from obstore.store import MemoryStore

        from pipelines.backbones.capabilities import check_models
        from pipelines.quality.forecast import forecast as forecast_version
        from pipelines.store.object_store import Store
        from pipelines.version.preview import preview
        from pipelines.vision.models import Models

        check_models(checked)
        progress.say(f"A preview of {images} images")
        store = Store(MemoryStore()) if out is None else Store.open(out)
        result = forecast_version(preview(checked, store, images, Models(checked.models)))
    if json_ is not None:
        write_json(json_, json.dumps(result.as_json(), indent=1) + "\n")
    console.print(result.text, markup=False, soft_wrap=True)
