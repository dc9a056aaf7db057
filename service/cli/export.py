"""The command that turns a version into what a trainer reads, or pushes it to a hub."""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.errors import CounterpoiseError
from pipelines.spec.base import quantity
from pipelines.version.verdicts import FILE, HumanVerdict, read_verdicts
from service.cli.output import console
from service.cli.pull import pull_version
from service.cli.remote import PATIENCE
from service.client import Client

if TYPE_CHECKING:
    from pipelines.version.export.samples import PublishedVersion

SAMPLES = "manifest.json", "plan.json", "data/"  # what of a version is needed for its kept samples


@dataclass(frozen=True, slots=True)
class Origin:
    """What is exported: a version of the service by its number, or a folder; and by which verdicts."""

    version: str
    number: int | None
    verdicts: Path | None  # a file, in place of what the service or the folder has
    as_published: bool

    @property
    def own_verdicts(self) -> Sequence[HumanVerdict]:
        """People's verdicts on the version; none on a folder that was made over by them already."""
        if self.verdicts is not None:
            return read_verdicts(self.verdicts)
        if self.number is not None:
            with Client(patience=PATIENCE) as client:
                return client.verdicts(self.version, self.number)
        folder = local_version(Path(self.version))
        decided = "decided" in json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        return read_verdicts(folder / FILE) if (folder / FILE).is_file() and not decided else []


def export(
    version: Annotated[str, typer.Argument(help="Folder of a version, or name of a dataset of the service.")],
    number: Annotated[int | None, typer.Argument(help="Number of the version, of a dataset of the service.")] = None,
    format_: Annotated[str | None, typer.Option("--format", help="imagefolder, webdataset, coco or yolo.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to put it in: a new one, or an empty one.")] = None,
    push: Annotated[str | None, typer.Option(help="Repository of the Hugging Face Hub, ORG/NAME; as Parquet.")] = None,
    public: Annotated[bool, typer.Option("--public", help="Make that repository public, if it is new.")] = False,
    verdicts: Annotated[
        Path | None, typer.Option(help=f"File of people's verdicts, in place of the version's {FILE}.")
    ] = None,
    as_published: Annotated[bool, typer.Option("--as-published", help="Obey no verdicts of people.")] = False,
) -> None:
    """The samples of a version as image folder, WebDataset, COCO or YOLO; or all of it as a repository of a hub. What people
    dropped is left out, and what they kept is brought back."""
    if (push is None) == (format_ is None) or (format_ is None) != (out is None):
        raise CounterpoiseError("give --format and --out, or --push alone")
    if verdicts is not None and as_published:
        raise CounterpoiseError("give --verdicts or --as-published, not both")
    origin = Origin(version, number, verdicts, as_published)
    if format_ is None or out is None:
        push_version(origin, str(push), public)
    else:
        export_folder(origin, format_, out)


def export_folder(origin: Origin, name: str, out: Path) -> None:
    """Write a version's samples into a folder. Raises CounterpoiseError, and then nothing is written."""
    try:
        from pipelines.version.export import FORMATS
        from pipelines.version.export.folder import require_empty, write
    except ModuleNotFoundError as error:
        raise CounterpoiseError(f"export: needs {error.name}; pip install 'counterpoise[service]'") from None

    formats = {str(key): format for key, format in FORMATS.items()}
    if name not in formats:
        raise CounterpoiseError(f"--format: {name!r} is none; give one of {', '.join(formats)}")
    require_empty(out)
    format = formats[name]
    with opened(origin, out.resolve().parent, SAMPLES) as (_, samples):
        if format.boxes:
            samples.require_boxes(name)
        every, written = samples.count(), samples.count(boxed=format.boxes)
        write(format, samples, out)
        console.print(f"{quantity(written, 'sample')} in {out}", soft_wrap=True)
        if missing := every - written:
            those = "is left out: where its" if missing == 1 else "are left out: where their"
            console.print(f"{missing:,} more {those} object is, is not known.", soft_wrap=True)
        print_verdicts(origin, samples)


def push_version(origin: Origin, repository: str, public: bool) -> None:
    """Commit a version to a repository of a hub, as people decided."""
    from pipelines.version.export.decided import decide
    from pipelines.version.export.hub import push

    with opened(origin, Path(), ("",)) as (folder, samples), TemporaryDirectory(prefix=".export-", dir=".") as temporary:
        if samples.verdicts:
            folder = Path(shutil.copytree(folder, Path(temporary, "version")))
            decide(samples, folder)
        console.print(push(folder, repository, private=not public), soft_wrap=True)
        print_verdicts(origin, samples)


def print_verdicts(origin: Origin, samples: "PublishedVersion") -> None:
    """What became of people's verdicts, if there are any."""
    from pipelines.version.export.decided import sentence

    if samples.verdicts:
        console.print(f"As people decided: {sentence(samples)}. --as-published obeys no verdicts.", soft_wrap=True)
    elif origin.as_published and (count := len(origin.own_verdicts)):
        console.print(f"As published: {quantity(count, 'verdict')} of people {'is' if count == 1 else 'are'} not obeyed.")


@contextmanager
def opened(origin: Origin, place: Path, parts: tuple[str, ...]) -> Iterator[tuple[Path, "PublishedVersion"]]:
    """A version with the verdicts that it is exported by, and its folder; of one in the service, a temporary one in a
    `place`, with the files whose paths begin with the parts, and those of dropped candidates that people kept."""
    from pipelines.store.object_store import Store
    from pipelines.version.export.samples import published

    verdicts = [] if origin.as_published else origin.own_verdicts
    if origin.number is None:
        folder = local_version(Path(origin.version))
        yield folder, published(Store.open(folder), verdicts=verdicts)
        return
    place.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".export-", dir=place) as temporary:
        folder = Path(temporary, origin.version, f"v{origin.number}")
        pull_version(origin.version, origin.number, folder, parts)
        samples = published(Store.open(folder), verdicts=verdicts)
        if samples.rejected:
            pull_version(origin.version, origin.number, folder, samples.rejected)
        yield folder, samples


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
