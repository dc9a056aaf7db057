"""The command that turns a version into what a trainer reads, or pushes it to a hub."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from pipelines.errors import CounterpoiseError
from pipelines.spec.base import quantity
from service.cli.output import console
from service.cli.remote import PATIENCE
from service.client import Client

SAMPLES = "manifest.json", "data/"  # what of a version is needed for its kept samples


def export(
    version: Annotated[str, typer.Argument(help="Folder of a version, or name of a dataset of the service.")],
    number: Annotated[int | None, typer.Argument(help="Number of the version, of a dataset of the service.")] = None,
    format_: Annotated[str | None, typer.Option("--format", help="imagefolder, webdataset, coco or yolo.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to put it in: a new one, or an empty one.")] = None,
    push: Annotated[str | None, typer.Option(help="Repository of the Hugging Face Hub, ORG/NAME; as Parquet.")] = None,
    public: Annotated[bool, typer.Option("--public", help="Make that repository public, if it is new.")] = False,
) -> None:
    """The kept samples of a version as image folder, WebDataset, COCO or YOLO; or all of it as a repository of a hub."""
    if (push is None) == (format_ is None) or (format_ is None) != (out is None):
        raise CounterpoiseError("give --format and --out, or --push alone")
    if format_ is None or out is None:
        with version_folder(version, number, Path(), ("",)) as folder:
            push_folder(folder, str(push), public)
    else:
        export_folder(version, number, format_, out)


def export_folder(version: str, number: int | None, name: str, out: Path) -> None:
    """Write a version's samples into a folder. Raises CounterpoiseError, and then nothing is written."""
    try:
        from pipelines.store.object_store import Store
        from pipelines.version.export import FORMATS
        from pipelines.version.export.folder import require_empty, write
        from pipelines.version.export.samples import published
    except ModuleNotFoundError as error:
        raise CounterpoiseError(f"export: needs {error.name}; pip install 'counterpoise[service]'") from None

    formats = {str(key): format for key, format in FORMATS.items()}
    if name not in formats:
        raise CounterpoiseError(f"--format: {name!r} is none; give one of {', '.join(formats)}")
    require_empty(out)
    format = formats[name]
    with version_folder(version, number, out.resolve().parent, SAMPLES) as folder:
        samples = published(Store.open(folder))
        if format.boxes:
            samples.require_boxes(name)
        write(format, samples, out)
        every, written = samples.count(), samples.count(boxed=format.boxes)
    console.print(f"{quantity(written, 'sample')} in {out}", soft_wrap=True)
    if missing := every - written:
        those = "is left out: where its" if missing == 1 else "are left out: where their"
        console.print(f"{missing:,} more {those} object is, is not known.", soft_wrap=True)


def push_folder(folder: Path, repository: str, public: bool) -> None:
    from pipelines.version.export.hub import push

    console.print(push(folder, repository, private=not public), soft_wrap=True)


@contextmanager
def version_folder(version: str, number: int | None, place: Path, parts: tuple[str, ...]) -> Iterator[Path]:
    """The folder of a version; of one in the service, a temporary one in a `place`, with the files whose paths begin with
    the parts."""
    if number is None:
        yield local_version(Path(version))
        return
    place.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".export-", dir=place) as temporary, Client(patience=PATIENCE) as client:
        folder = Path(temporary, version, f"v{number}")
        for _ in client.pull(version, number, folder, parts):
            pass
        yield folder


def local_version(folder: Path) -> Path:
    """The folder of the one published version in a folder. Raises CounterpoiseError where there is none, or several."""
    if not folder.is_dir():
        raise CounterpoiseError(f"{folder} is no folder here; of a dataset of the service, give the version's number, too")
    patterns = ("", "v*/", "datasets/*/v*/")
    versions = sorted(file.parent for pattern in patterns for file in folder.glob(f"{pattern}manifest.json"))
    if not versions:
        raise CounterpoiseError(f"{folder} holds no published version; give the folder of one, with its manifest.json")
    if len(versions) > 1:
        raise CounterpoiseError(f"{folder} holds several versions; give one of {', '.join(map(str, versions))}")
    return versions[0]
