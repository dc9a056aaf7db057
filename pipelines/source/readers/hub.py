"""A dataset of the Hugging Face hub, or a folder in its layout: by `datasets`, from Parquet alone, running no code."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.errors import SourceError, UnreachableError
from pipelines.progress import Stage, with_steps
from pipelines.records import Problem
from pipelines.source.checks import Contents, Entries, Place
from pipelines.source.index import Index
from pipelines.source.splits import splits_of
from pipelines.source.tables import Columns, image_bytes
from pipelines.spec import HubSource
from pipelines.spec.sources import local
from pipelines.store.canonical import digest

KINDS = {"parquet", "arrow", "cache"}  # the last: what was fetched before, while the hub is away


def prepared(spec: HubSource, fetch: bool = True) -> dict[str, Any]:
    """The splits, mapped into memory from a cache on disk, into which they are fetched. Raises SourceError."""
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
        cache = copies_of(Path(spec.id)) if local(spec.id) else None
        builder = with_steps(
            lambda: datasets.load_dataset_builder(spec.id, spec.config, revision=spec.revision, cache_dir=cache)
        )
        check(builder, spec.id)
        if fetch:
            with_steps(builder.download_and_prepare)
        elif not Path(builder.cache_dir).is_dir():
            raise SourceError(f"source.id: {spec.id!r} is not in the cache of this machine")
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


def copies_of(folder: Path) -> str:
    """Where `datasets` keeps its copy of a local folder: by itself it takes one of another folder of the same name and
    README, and one from before the files changed."""
    import datasets

    files = sorted(path for path in folder.rglob("*") if path.is_file())
    tags = [[str(path.relative_to(folder)), path.stat().st_size, path.stat().st_mtime_ns] for path in files]
    return str(Path(datasets.config.HF_DATASETS_CACHE) / "local" / digest([str(folder.resolve()), tags]))


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


class HubReader:
    """Raises SourceError when the dataset cannot be loaded."""

    def __init__(self, spec: HubSource, fetch: bool = True) -> None:
        """Without `fetch`, a dataset that is in the cache already."""
        self.spec, self.where = spec, f"source.id: {spec.id}"
        self.splits = prepared(spec, fetch)
        self.split_of = splits_of(list(self.splits))
        self.tables: dict[str, Any] = {}  # by split, of the columns that are used, images as the bytes of their files

    @property
    def files(self) -> Mapping[str, str]:
        return {name: f"{len(rows)} {rows._fingerprint}" for name, rows in self.splits.items()}

    @property
    def total(self) -> int:
        return sum(map(len, self.splits.values()))

    def columns(self, name: str) -> Columns:
        """The columns of a split. Raises SourceError for one that is not there."""
        columns = Columns(self.spec.image, self.spec.label, self.spec.group)
        return columns.resolve(self.splits[name].column_names, f"{self.where}, split {name},")

    def table(self, name: str) -> Any:
        import datasets

        if name not in self.tables:
            rows = self.splits[name].select_columns(self.columns(name).names)
            self.tables[name] = rows.cast_column(self.spec.image, datasets.Image(decode=False))
        return self.tables[name]

    def entries(self, earlier: Index | None, done: Stage) -> Entries:
        for name in self.splits:
            columns = self.columns(name)
            if len(self.splits) > 1 and self.split_of[name] is None:
                yield Problem(name, "is none of train, validation, test: left out")
                continue
            rows = self.table(name)
            columns.check(rows.features.arrow_schema, f"{self.where}, split {name}")
            classes = {name: getattr(rows.features[name], "names", None) or () for name, _ in columns.words if name}
            for number, values in enumerate(rows):
                done(1)
                entry = columns.row(number, values, classes)
                if isinstance(entry, Problem):
                    yield Problem(f"{name}/{entry.id}", entry.reason)
                else:
                    place = replace(entry.place, file=name)
                    yield replace(entry, shard=name, split=entry.split or self.split_of[name], place=place)

    def notes(self, contents: Contents) -> Iterator[str]:
        return iter(())

    def get(self, place: Place) -> bytes:
        return image_bytes(self.table(place.file)[place.start][self.spec.image])
