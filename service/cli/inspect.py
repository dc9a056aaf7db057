"""`counterpoise inspect`: a source's own faults, before anything is spent on it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError

from pipelines.errors import CounterpoiseError, SpecError
from pipelines.spec import SourceSpec, VersionSpec, load
from pipelines.spec.base import quantity
from pipelines.spec.models import BUILTIN
from pipelines.spec.sources import local, remote
from service.cli.init import source_of
from service.cli.output import console, print_list

if TYPE_CHECKING:
    from pipelines.inspection.findings import Finding, Inspection

SPECS = (".yaml", ".yml", ".json")


def checked(**fields: Any) -> SourceSpec:
    """Raises SpecError for what is no source."""
    try:
        source: SourceSpec = TypeAdapter(SourceSpec).validate_python(fields)
    except ValidationError as error:
        reasons = "; ".join(problem["msg"].removeprefix("Value error, ") for problem in error.errors())
        raise SpecError(f"SOURCE: {reasons}") from None
    return source


def is_hub_folder(folder: Path) -> bool:
    """Whether a folder is in the hub's layout: its README describes Parquet files."""
    try:
        head = (folder / "README.md").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    described = head.startswith("---") and ("dataset_info:" in head or "configs:" in head)
    return described and any(any(folder.glob(pattern)) for pattern in ("*.parquet", "*/*.parquet"))


def source_named(name: str) -> tuple[SourceSpec, VersionSpec | None]:
    """The source that an argument names, and the spec, where it is that of one's file. Raises SpecError."""
    path = Path(name).expanduser()
    if path.suffix.lower() in SPECS and path.is_file():
        spec = load(path)
        return spec.source, spec
    if not remote(name) and path.is_dir():
        return (checked(type="hub", id=str(path.resolve())) if is_hub_folder(path) else source_of(path)), None
    for suffix, kind in ((".parquet", "parquet"), (".tar", "webdataset")):
        if name.lower().endswith(suffix):
            return checked(type=kind, path=name if "://" in name else str(path.absolute())), None
    if remote(name):
        return checked(type="folder", path=name), None
    if name.count("/") == 1 and not local(name) and not path.parent.exists():
        return checked(type="hub", id=name), None
    raise SpecError(
        f"SOURCE: there is no {name!r}; give a folder of images, a pattern of *.parquet or *.tar files, an id of the "
        "hub, or a spec"
    )


def kinds_of(names: str) -> list[str]:
    """Raises SpecError for a kind of finding that there is not."""
    from pipelines.inspection.findings import KINDS

    kinds = [name.strip() for name in names.split(",") if name.strip()]
    for kind in kinds:
        if kind not in KINDS:
            raise SpecError(f"--fail-on: there is no kind {kind!r}; give some of {', '.join(KINDS)}")
    return kinds


def write(out: Path, files: dict[str, str]) -> None:
    """Raises CounterpoiseError where they cannot be written."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (out / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise CounterpoiseError(f"--out: {out} cannot be written ({error.strerror}); give another folder") from None


def inspect(
    source: Annotated[str, typer.Argument(help="A folder, a pattern of shards, an id of the hub, or a spec.")],
    out: Annotated[Path, typer.Option(help="Folder for inspect.html and inspect.json.")] = Path("."),
    features: Annotated[
        str, typer.Option(help="Checkpoint whose embeddings compare images: of CLIP, or an image classifier.")
    ] = BUILTIN,
    fail_on: Annotated[str, typer.Option(help="End with exit code 1 if there are any of these: leaks,labels.")] = "",
) -> None:
    """Look for a source's own faults: leaks between splits, copies, likely wrong labels, blank images, small classes."""
    kinds = kinds_of(fail_on)
    opened, spec = source_named(source)
    write(out, {})
    from pipelines.progress import bars
    from pipelines.source.open import open_source

    with bars() as progress:
        from pipelines.inspection.embedder import open_embedder
        from pipelines.inspection.inspect import inspect as inspect_source
        from pipelines.inspection.page import render

        embed = open_embedder(features)
        progress.say(f"Reading {source}")
        images = open_source(opened)
        inspection = inspect_source(images, embed, progress, name=source, checkpoint=features, spec=spec)
        page = render(inspection, images.read)
    write(out, {"inspect.html": page, "inspect.json": json.dumps(inspection.document, indent=1, ensure_ascii=False) + "\n"})
    print_inspection(inspection)
    console.print(f"Look at {out / 'inspect.html'}", markup=False, soft_wrap=True)
    if any(inspection.counts[kind] for kind in kinds):
        raise typer.Exit(1)


def described(finding: "Finding") -> str:
    """What is wrong, and with which images."""
    names = ", ".join(f"{one.split}:{one.item.id}" for one in finding.images[:2])
    return finding.text + (f" ({names}{', ...' if len(finding.images) > 2 else ''})" if names else "")


def print_inspection(inspection: "Inspection") -> None:
    """A line for each kind, with how many there are and the worst."""
    images = sum(sum(sizes.values()) for sizes in inspection.classes.values())
    console.print(f"{quantity(images, 'image')} in {len(inspection.classes)} classes.")
    worst = {kind: inspection.of(kind) for kind in inspection.counts}
    rows = [(kind, f"{len(found):,}", described(found[0]) if found else "") for kind, found in worst.items()]
    print_list(("finding", "count", "the worst"), rows)
    for note in inspection.notes:
        console.print(note, markup=False, soft_wrap=True)
