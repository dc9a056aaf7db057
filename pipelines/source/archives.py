"""Files that hold many images: tar (WebDataset too), zip and Parquet. None of their paths, sizes or types is trusted."""

import json
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby, islice
from pathlib import PurePosixPath
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import SourceError
from pipelines.records import Problem
from pipelines.source.checks import SUFFIXES, Entry
from pipelines.source.class_labels import class_names
from pipelines.source.decode import MAX_FILE
from pipelines.source.splits import split_in

ROWS = 8  # of Parquet at a time
PARTS = 16  # files of one WebDataset sample at most
PICKLES = {".pkl", ".pickle", ".pyd", ".pt", ".pth"}
Entries = Iterator[Entry | Problem]


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the columns. None: a column `group` or `split` of that name, if there is one."""

    image: str = "image"
    label: str = "label"
    group: str | None = None
    split: str | None = None

    def resolve(self, names: Sequence[str], where: str) -> "Columns":
        """The columns of a table with these names. Raises SourceError when one that was given is not there."""
        for field, name in (("image", self.image), ("label", self.label), ("group", self.group), ("split", self.split)):
            if name is not None and name not in names:
                raise SourceError(f"{where} has no column {name!r} for the {field}; it has {', '.join(names)}")
        return replace(
            self,
            group=self.group or ("group" if "group" in names else None),
            split=self.split or ("split" if "split" in names else None),
        )

    @property
    def names(self) -> list[str]:
        return list(dict.fromkeys(filter(None, (self.image, self.label, self.group, self.split))))

    def row(self, number: int, values: dict[str, Any], classes: Sequence[str]) -> Entry | Problem:
        """One row; `classes` are the names of a ClassLabel's integers, if it is one."""
        image, label = values[self.image], values[self.label]
        group, split = (values[name] if name else None for name in (self.group, self.split))
        if label is None or (classes and isinstance(label, int) and not 0 <= label < len(classes)):
            return Problem(f"row {number}", f"has no label (given: {label!r}); give it one, or remove it")
        if split is not None and split_in(str(split)) is None:
            return Problem(f"row {number}", f"split {str(split)[:40]!r} is none of train, validation, test; rename it")
        data = image.get("bytes") if isinstance(image, dict) else image
        return Entry(
            f"row {number}",
            data if isinstance(data, bytes) else b"",
            label=classes[label] if classes and isinstance(label, int) else str(label),
            group=None if group is None else str(group),
            split=None if split is None else split_in(str(split)),
            place=number,
        )


def readable(name: str) -> str:
    """A name as valid Unicode, without "./": bytes that are no UTF-8 come out of an archive as lone surrogates."""
    return PurePosixPath(name.encode("utf-8", "replace").decode()).as_posix()


def files_of_tar(file: IO[bytes], mode: str) -> Entries:
    """`mode` as of tarfile: "r:" for one that is not compressed, whose entries have offsets as their `place`."""
    with tarfile.open(fileobj=file, mode=mode) as archive:  # type: ignore[call-overload]
        for member in archive:
            archive.members = []  # else it keeps the headers of all, and memory grows
            name = readable(member.name)
            if member.isdir():
                continue
            if not member.isreg() or member.issparse():
                yield Problem(name, "is a link or a device; send the image itself")
            elif member.size <= MAX_FILE:
                opened = archive.extractfile(member)
                data = b"" if opened is None else opened.read()
                yield Entry(name, data, place=(member.offset_data, member.size))
            elif mode == "r:":
                yield Problem(name, f"larger than {MAX_FILE // 2**20} MiB; scale it down")
            else:  # going on would unpack it, however large
                raise SourceError(f"source: {name} has {member.size} bytes, more than {MAX_FILE}; leave it out")
        if mode == "r:":  # cut between two files, it would seem to be whole
            file.seek(archive.offset)
            if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise tarfile.ReadError("unexpected end of data")


def sample_key(entry: Entry | Problem) -> str | None:
    """The key of a WebDataset sample, shared by its files: the path up to the first dot of the name."""
    if isinstance(entry, Problem):
        return None
    path = PurePosixPath(entry.path)
    return str(path.with_name(path.name.split(".")[0])) if path.name.split(".")[0] else entry.path


def annotations(parts: list[Entry]) -> dict[str, Any] | None:
    """Label and group in the .cls or .json beside an image; None without a label."""
    facts: dict[str, Any] = {}
    for part in parts:
        match PurePosixPath(part.path).suffix:
            case ".cls":
                facts["label"] = part.data[:1000].decode("utf-8", "replace").strip()
            case ".json":
                try:
                    document = json.loads(part.data)
                except (ValueError, RecursionError):
                    continue
                facts |= document if isinstance(document, dict) else {}
    return facts if facts.get("label") is not None else None


def sample(files: Entries) -> Entries:
    """Files of one key: with an annotation, its image labelled by it; without, plain files that share a name."""
    parts = list(islice(files, PARTS))
    entries = [part for part in parts if isinstance(part, Entry)]
    facts = annotations(entries)
    if facts is None:
        yield from parts
        yield from files
        return
    for part in entries:
        path = PurePosixPath(part.path)
        if path.suffix.lower() in PICKLES:
            yield Problem(part.path, "a pickle can run code and is never opened; remove it")
        elif path.suffix.lower() in SUFFIXES and path.name.count(".") == 1:  # key.mask.png is another thing
            group = facts.get("group")
            yield replace(part, label=str(facts["label"]), group=None if group is None else str(group))
    yield from files


def entries_of_tar(file: IO[bytes], mode: str = "r:*") -> Entries:
    for _, files in groupby(files_of_tar(file, mode), sample_key):
        yield from sample(files)


def entries_of_zip(file: IO[bytes]) -> Entries:
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            if member.is_dir():
                continue
            with archive.open(member) as opened:
                yield Entry(readable(member.filename), opened.read(MAX_FILE + 1))


def entries_of_parquet(file: IO[bytes], columns: Columns = Columns(), where: str = "source: the Parquet file") -> Entries:
    """Bytes, or Hugging Face's struct, as `image`; names, or a ClassLabel's numbers, as `label`."""
    table = pq.ParquetFile(file, buffer_size=2**20)
    columns = columns.resolve(table.schema_arrow.names, where)
    classes, number = class_names(table.schema_arrow, columns.label), 0
    for batch in table.iter_batches(batch_size=ROWS, columns=columns.names):
        for values in batch.to_pylist():
            yield columns.row(number, values, classes)
            number += 1


@contextmanager
def damage(where: str) -> Iterator[None]:
    """Errors of a reader, on a file that is damaged or no archive, are raised as SourceError inside the block."""
    try:
        yield
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        pa.ArrowException,
        OSError,
        EOFError,
        RuntimeError,
        NotImplementedError,
    ) as error:
        message = str(error).split("\n")[0]
        raise SourceError(
            f"{where}: not a readable tar, zip or Parquet file ({message}); pack it again, without a password"
        ) from None
    except (ValueError, UnicodeError, KeyError, OverflowError) as error:
        raise SourceError(f"{where}: damaged archive ({type(error).__name__}: {error}); pack it again") from None


def members(file: IO[bytes]) -> Entries:
    """The files of an archive, whatever kind it is. Raises SourceError for anything else, or a damaged one."""
    head = file.read(8)
    file.seek(0)
    kind = entries_of_zip if head[:2] == b"PK" else entries_of_parquet if head[:4] == b"PAR1" else entries_of_tar
    with damage("source"):
        yield from kind(file)
