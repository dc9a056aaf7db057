"""A dataset of the Hugging Face hub, or a folder in its layout: by `datasets`, from Parquet alone, running no code."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.errors import SourceError, UnreachableError
from pipelines.progress import with_steps
from pipelines.records import Image, Item, Problem
from pipelines.source.checks import Entry
from pipelines.source.collect import collect
from pipelines.source.decode import decode
from pipelines.source.source import Source, checked
from pipelines.source.splits import splits_of
from pipelines.source.tables import Columns
from pipelines.spec import HubSource
from pipelines.spec.sources import local

KINDS = {"parquet", "arrow", "cache"}  # the last: what was fetched before, while the hub is away


def prepared(spec: HubSource) -> dict[str, Any]:
    """The splits, mapped into memory from a cache on disk. Raises SourceError."""
    import datasets
    from huggingface_hub.errors import HfHubHTTPError

    datasets.disable_progress_bars()
    if local(spec.id) != Path(spec.id).is_dir():
        raise SourceError(
            f"source.id: {spec.id} is not a folder; give the path of one in the hub's layout"
            if local(spec.id)
            else f"source.id: {spec.id} is a folder here, too; write ./{spec.id} for it, or work elsewhere"
        )
    try:
        builder = with_steps(lambda: datasets.load_dataset_builder(spec.id, spec.config, revision=spec.revision))
        check(builder, spec.id)
        with_steps(builder.download_and_prepare)
        return dict(builder.as_dataset())
    except SourceError:
        raise
    except (ConnectionError, HfHubHTTPError) as error:
        raise UnreachableError(
            f"source.id: the hub cannot be reached for {spec.id!r} ({first_line(error)}); "
            "unset HF_HUB_OFFLINE if there is a network, or give a local folder"
        ) from None
    except Exception as error:  # the files of a stranger's dataset may raise anything
        raise SourceError(
            f"source.id: {spec.id!r} cannot be loaded ({first_line(error)}); check id, revision, config and access"
        ) from None


def first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".split("\n")[0][:300]


def check(builder: Any, identity: str) -> None:
    """Raises SourceError unless a dataset is Parquet that lies in it: its README may name files of any kind, anywhere."""
    kind = type(builder).__module__.split(".")[-1]
    if kind not in KINDS:
        raise SourceError(
            f"source.id: {identity!r} is kept as {kind}, not as Parquet; try revision refs/convert/parquet, where the hub "
            "keeps most datasets as Parquet"
        )
    for file in [str(path) for files in (builder.config.data_files or {}).values() for path in files]:
        home = Path(identity).resolve()
        inside = home in Path(file).resolve().parents if local(identity) else file.startswith(f"hf://datasets/{identity}@")
        if not inside:
            raise SourceError(
                f"source.id: {identity!r} names {file!r}, which lies outside of it; remove that from its README"
            )


def open_hub(spec: HubSource) -> Source:
    """Index a dataset. Raises SourceError when it cannot be loaded, with no two classes, or too many bad images."""
    import datasets

    splits, where = prepared(spec), f"source.id: {spec.id}"
    split_of = splits_of(list(splits))
    lies: dict[str, tuple[str, int]] = {}
    requested = Columns(spec.image, spec.label, spec.group)

    def entries() -> Iterator[Entry | Problem]:
        for name, rows in splits.items():
            columns = requested.resolve(rows.column_names, f"{where}, split {name},")
            if len(splits) > 1 and split_of[name] is None:
                yield Problem(name, "is none of train, validation, test: left out")
                continue
            rows = rows.select_columns(columns.names).cast_column(spec.image, datasets.Image(decode=False))
            splits[name] = rows
            columns.check(rows.features.arrow_schema, f"{where}, split {name}")
            classes = {name: getattr(rows.features[name], "names", None) or () for name, _ in columns.words if name}
            for number, values in enumerate(rows):
                entry = columns.row(number, values, classes)
                if isinstance(entry, Problem):
                    yield Problem(f"{name}/{entry.id}", entry.reason)
                else:
                    yield replace(entry, shard=name, split=entry.split or split_of[name])

    def keep(sha256: str, entry: Entry) -> None:
        lies[sha256] = entry.shard, entry.place

    def read(item: Item) -> Image:
        split, number = lies[item.sha256]
        return decode(splits[split][number][spec.image]["bytes"], allow_synthetic=True)

    contents = collect(entries(), keep, allow_synthetic=spec.allow_synthetic, where=where)
    return checked(contents, read, where, spec)
