"""Commands that look into a version of a service: its samples, kept and dropped, and its files."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.errors import CounterpoiseError
from pipelines.prompts import token_note
from pipelines.spec.base import quantity
from service.cli.output import console, print_list
from service.cli.remote import PATIENCE, Dataset, Number
from service.client import Client
from service.samples.schemas import SamplePage, SampleView
from service.versions.schemas import VersionFile


def iterate_samples(client: Client, dataset: str, number: int, criteria: dict[str, Any]) -> Iterator[SampleView]:
    """The samples of a version that fit the criteria, in the order of the plan."""
    path, cursor = f"/v1/datasets/{dataset}/versions/{number}/samples", None
    while True:
        params = criteria | ({"cursor": cursor} if cursor else {})
        page = SamplePage.model_validate(client.call("GET", path, params=params))
        yield from page.items
        if (cursor := page.next) is None:
            return


def save(client: Client, sample: SampleView, folder: Path) -> Path:
    """Write a sample's image as VERDICT/CLASS/ID.SUFFIX. Raises CounterpoiseError where it cannot be written."""
    from pipelines.source.decode import media_type

    data = client.download(sample.image, sample.image)
    suffix = media_type(data).removeprefix("image/")
    file = folder / sample.verdict / sample.label.replace("/", "_") / f"{sample.id}.{suffix}"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    except OSError as error:
        raise CounterpoiseError(f"--out: {file} cannot be written ({error.strerror}); give another folder") from None
    return file


def samples(
    dataset: Dataset,
    number: Number,
    verdict: Annotated[str | None, typer.Option(help="kept or dropped ones alone.")] = None,
    reason: Annotated[str | None, typer.Option(help="Dropped for a reason that begins so.")] = None,
    label: Annotated[str | None, typer.Option(help="Of this class alone.")] = None,
    limit: Annotated[int, typer.Option(help="Samples at most.", min=1)] = 20,
    out: Annotated[Path | None, typer.Option(help="Folder to put their images in.")] = None,
) -> None:
    """What was generated so far, kept or dropped and why; with --out, the images, too."""
    fields = {"verdict": verdict, "reason": reason, "label": label}
    criteria = {name: value for name, value in fields.items() if value is not None} | {"limit": min(limit, 100)}
    rows = []
    with Client(patience=PATIENCE) as client:
        for sample in islice(iterate_samples(client, dataset, number, criteria), limit):
            rows.append((sample.id, sample.label, sample.reason or sample.verdict, sample.prompt))
            if out is not None:
                save(client, sample, out)
    print_list(("id", "class", "verdict", "prompt"), rows)
    if note := token_note(prompt for *_, prompt in rows):
        console.print(note, markup=False, soft_wrap=True)
    if out is not None:
        console.print(f"{quantity(len(rows), 'image')} in {out}", soft_wrap=True)


def files(dataset: Dataset, number: Number) -> None:
    """The files of a published version, and where each can be downloaded."""
    with Client(patience=PATIENCE) as client:
        listing = client.call("GET", f"/v1/datasets/{dataset}/versions/{number}/files")
    for file in map(VersionFile.model_validate, listing):
        console.print(f"{file.size:>12,}  {file.path}  {file.url}", markup=False, soft_wrap=True)
    if not listing:
        console.print(f"{dataset} {number} is not published yet")
