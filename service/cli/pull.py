"""The command that downloads a version, as it was published or as people decided."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from pipelines.errors import CounterpoiseError
from pipelines.spec.base import quantity
from pipelines.version.verdicts import FILE, HumanVerdict, encoded
from service.cli.output import console
from service.cli.remote import PATIENCE, Dataset, Number
from service.client import Client


def pull(
    dataset: Dataset,
    number: Number,
    out: Annotated[Path, typer.Option(help="Folder to put it in.")] = Path(),
    decided: Annotated[
        bool, typer.Option("--decided", help="A copy without what people dropped, with what they kept.")
    ] = False,
) -> None:
    """Download a published version. What people decided about its samples lies beside it, and changes nothing of it."""
    folder = out / dataset / (f"v{number}-decided" if decided else f"v{number}")
    count = pull_version(dataset, number, folder)
    console.print(f"{quantity(count, 'file')} in {folder}", soft_wrap=True)
    with Client(patience=PATIENCE) as client:
        verdicts = client.verdicts(dataset, number)
    if decided:
        make_over(folder, verdicts)
        return
    (folder / FILE).unlink(missing_ok=True)
    if verdicts:
        (folder / FILE).write_bytes(encoded(verdicts))
        line = (
            f"As published. {quantity(len(verdicts), 'verdict')} of people in {FILE}: 'counterpoise export' obeys them, and"
        )
        console.print(f"{line} 'counterpoise pull --decided' does.", soft_wrap=True)


def pull_version(dataset: str, number: int, folder: Path, parts: tuple[str, ...] = ("",)) -> int:
    """Download the files of a published version whose paths begin with one of the parts; return how many there are."""
    with Client(patience=PATIENCE) as client:
        return sum(1 for _ in client.pull(dataset, number, folder, parts))


def make_over(folder: Path, verdicts: Sequence[HumanVerdict]) -> None:
    """Have a pulled version obey people's verdicts."""
    try:
        from pipelines.store.object_store import Store
        from pipelines.version.export.decided import decide, sentence
        from pipelines.version.export.samples import published
    except ModuleNotFoundError as error:
        raise CounterpoiseError(f"--decided: needs {error.name}; pip install 'counterpoise[service]'") from None
    version = published(Store.open(folder), verdicts=verdicts)
    decide(version, folder)
    console.print(f"As people decided: {sentence(version)}.", soft_wrap=True)
