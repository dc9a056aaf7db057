"""Tar: images in folders of their classes, or as WebDataset has it with the class in a file beside each."""

import tarfile
from typing import IO

from pipelines.errors import SourceError
from pipelines.records import Problem
from pipelines.source.checks import Entries, Entry, Place
from pipelines.source.limits import UNLIMITED, Limits
from pipelines.source.names import MAX_FILE, TOO_LARGE, clean, hidden
from pipelines.source.pack import REASON
from pipelines.source.samples import Sampler

MAX_HEADER = 2**20  # bytes of the header that holds a long path, or other words about a file
HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


class Header(tarfile.TarInfo):
    """A file's header, which is read into memory whole, and so may not be large."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "Header":
        header = super().frombuf(buf, encoding, errors)
        if header.type in HEADERS and header.size > MAX_HEADER:
            raise SourceError(f"source: a header in the tar has {header.size} bytes, more than {MAX_HEADER}; pack it again")
        return header


def files_of_tar(file: IO[bytes], mode: str, limits: Limits) -> Entries:
    """`mode` as of tarfile: "r:" for one that is not compressed, whose entries have places."""
    with tarfile.open(fileobj=file, mode=mode, tarinfo=Header) as archive:  # type: ignore[call-overload]
        for member in archive:
            archive.members = []  # else it keeps the headers of all, and memory grows
            limits.check_unpacked(archive.offset)  # its end: also of what is not read, and only passed over
            name = member.name
            if member.isdir() or hidden(clean(name)):
                continue
            if reason := member.pax_headers.get(REASON):
                yield Problem(name, reason[:300])
            elif not member.isreg() or member.issparse():
                yield Problem(name, "is a link or a device; send the image itself")
            elif member.size <= MAX_FILE:
                opened = archive.extractfile(member)
                data = b"" if opened is None else opened.read()
                yield Entry(name, data, place=Place(start=member.offset_data, size=member.size))
            elif mode == "r:":
                yield Problem(name, TOO_LARGE)
            else:  # going on would unpack it, however large
                raise SourceError(f"source: {name} has {member.size} bytes, more than {MAX_FILE}; leave it out")
        if mode == "r:":  # cut between two files, it would seem to be whole
            file.seek(archive.offset)
            if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise tarfile.ReadError("unexpected end of data")


def entries_of_tar(file: IO[bytes], mode: str = "r:*", limits: Limits = UNLIMITED, where: str = "source") -> Entries:
    yield from Sampler(where).samples(files_of_tar(file, mode, limits))
