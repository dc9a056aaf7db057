"""Tar: images in folders of their classes, or as WebDataset has it with the class in a file beside each."""

import json
import tarfile
from dataclasses import replace
from itertools import groupby
from pathlib import PurePosixPath
from typing import IO, Any

from pipelines.errors import SourceError
from pipelines.records import Problem
from pipelines.source.checks import SUFFIXES, Entries, Entry, readable
from pipelines.source.decode import MAX_FILE
from pipelines.source.limits import UNLIMITED, Limits

MAX_HEADER = 2**20  # bytes of the header that holds a long path, or other words about a file
HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
PARTS = 16  # files of one WebDataset sample at most
PICKLES = {".pkl", ".pickle", ".pyd", ".pt", ".pth"}


class Header(tarfile.TarInfo):
    """A file's header, which is read into memory whole, and so may not be large."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "Header":
        header = super().frombuf(buf, encoding, errors)
        if header.type in HEADERS and header.size > MAX_HEADER:
            raise SourceError(f"source: a header in the tar has {header.size} bytes, more than {MAX_HEADER}; pack it again")
        return header


def files_of_tar(file: IO[bytes], mode: str, limits: Limits) -> Entries:
    """`mode` as of tarfile: "r:" for one that is not compressed, whose entries have offsets as their `place`."""
    with tarfile.open(fileobj=file, mode=mode, tarinfo=Header) as archive:  # type: ignore[call-overload]
        for member in archive:
            archive.members = []  # else it keeps the headers of all, and memory grows
            limits.check_unpacked(archive.offset)  # its end: also of what is not read, and only passed over
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


def first_parts(files: Entries) -> list[Entry | Problem]:
    """The first files of one key, no more than can be held in memory together."""
    parts: list[Entry | Problem] = []
    size = 0
    for part in files:
        parts.append(part)
        size += len(part.data) if isinstance(part, Entry) else 0
        if len(parts) == PARTS or size > MAX_FILE:
            break
    return parts


def sample(files: Entries) -> Entries:
    """Files of one key: with an annotation, its image labelled by it; without, plain files that share a name."""
    parts = first_parts(files)
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


def entries_of_tar(file: IO[bytes], mode: str = "r:*", limits: Limits = UNLIMITED) -> Entries:
    for _, files in groupby(files_of_tar(file, mode, limits), sample_key):
        yield from sample(files)
