"""Writing a version in a format into a folder: all of it, or nothing."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

from pipelines.errors import ExportError
from pipelines.version.export.files import END, File, Format, member, obeyed_verdicts
from pipelines.version.export.samples import PublishedVersion

SHARD_BYTES = 2**28  # of a tar, after which the next one begins


def write(format: Format, version: PublishedVersion, target: Path, shard_bytes: int = SHARD_BYTES) -> None:
    """Write a version into a folder that is not there yet, or empty, and beside it the verdicts that it obeys. Raises
    ExportError, and then nothing is written."""
    with replacing(target) as folder:
        if format.sharded:
            write_shards(format.files(version), folder, shard_bytes)
        else:
            write_files(format.files(version), folder)
        write_files(obeyed_verdicts(version), folder)


def require_empty(target: Path) -> None:
    """Raises ExportError for a place that is taken."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ExportError(f"--out: {target} is there, and not an empty folder; name another, or remove it")


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A new folder, which at the end is the target; after an error it is gone. Where the target is there, an empty folder
    that may be mounted, it becomes what that holds."""
    target = target.resolve()
    try:
        require_empty(target)
        there = target.is_dir()
        target.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".export-", dir=target if there else target.parent) as temporary:
            folder = Path(temporary, "export")
            folder.mkdir()
            yield folder
            for made in list(folder.iterdir()) if there else [folder]:
                made.rename(target / made.name if there else target)
    except OSError as error:
        raise ExportError(f"--out: {target} cannot be written ({error.strerror or error}); name another folder") from None


def write_files(files: Iterable[File], folder: Path) -> None:
    for file in files:
        place = folder / file.path
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("wb") as out:
            out.writelines(file.content())


def write_shards(files: Iterable[File], folder: Path, limit: int) -> None:
    """Write `train-000000.tar` and so on; files of one sample, which share their path up to the suffix, lie in one shard."""
    number, size = 0, 0
    for _, sample in groupby(files, key=lambda file: file.path.partition(".")[0]):
        if size >= limit:
            number, size = number + 1, 0
        with (folder / f"train-{number:06d}.tar").open("ab") as shard:
            for file in sample:
                shard.writelines(member(file, file.path.rpartition("/")[2]))
            size = shard.tell()
    for finished in folder.iterdir():
        with finished.open("ab") as shard:
            shard.write(END)
