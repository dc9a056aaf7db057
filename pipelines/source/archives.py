"""Archives that a client sent: tar (WebDataset too), zip and Parquet. None of their paths, sizes or types is trusted."""

import os
import re
import struct
import tarfile
import unicodedata
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import pyarrow as pa

from pipelines.errors import SourceError
from pipelines.records import Problem
from pipelines.source.checks import Entries, Entry
from pipelines.source.limits import Limits
from pipelines.source.names import MAX_FILE, TOO_LARGE, UNREADABLE, clean, hidden
from pipelines.source.samples import Sampler
from pipelines.source.tables import entries_of_parquet
from pipelines.source.tars import entries_of_tar

END = struct.Struct("<4s4H2LH")  # of a zip: signature, disks, entries, size and place of its directory, comment
ZIP64_END = struct.Struct("<4sQ2H2L4Q")
END_SEARCHED = 2**16 + 128  # bytes from a zip's last on in which its end begins: a comment may follow it
DIRECTORY_ENTRY = 512  # bytes of the directory for each file, on average at most
UTF8 = 0x800  # of a zip's flags: its name is in UTF-8
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def directory_size(file: IO[bytes]) -> tuple[int, int]:
    """Number of the entries in a zip, and bytes of its directory, as its end says. Raises BadZipFile."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - END_SEARCHED))
    tail = file.read()
    place = tail.rfind(b"PK\5\6")
    if place < 0 or len(tail) - place < END.size:
        raise zipfile.BadZipFile("it has no end")
    *_, count, length, _, _ = END.unpack_from(tail, place)
    larger = tail.rfind(b"PK\6\6", 0, place)
    if larger >= 0 and place - larger >= ZIP64_END.size:
        *_, count, length, _ = ZIP64_END.unpack_from(tail, larger)
    return count, length


def zip_name(member: zipfile.ZipInfo) -> str:
    """The path of a file in a zip. Without the flag for UTF-8 it is in any encoding: UTF-8 all the same, or that of
    MS-DOS where it gives Latin letters; else its class cannot be known."""
    if member.flag_bits & UTF8 or member.orig_filename.isascii():
        return member.filename
    try:
        return member.filename.encode("cp437").decode()
    except UnicodeError:
        letters = (sign for sign in member.filename if not sign.isascii())
        plain = (unicodedata.name(sign, "").startswith("LATIN ") for sign in letters)
        return member.filename if all(plain) else re.sub(r"[^\x00-\x7f]+", UNREADABLE, member.filename)


def entries_of_zip(file: IO[bytes], limits: Limits) -> Entries:
    count, length = directory_size(file)
    limits.check_files(max(count // 2, length // DIRECTORY_ENTRY))  # before they become objects; half may be folders
    with zipfile.ZipFile(file) as archive:
        files = sorted((member for member in archive.filelist if not member.is_dir()), key=zip_name)
        limits.check_files(len(files))
        limits.check_unpacked(sum(member.file_size for member in files))
        for member in files:
            name = zip_name(member)
            if name.endswith(("/", "\\")) or hidden(clean(name)):
                continue
            if member.file_size > MAX_FILE:
                yield Problem(name, TOO_LARGE)
            elif member.compress_type not in COMPRESSIONS:  # their readers unpack without bound
                yield Problem(name, "is neither stored nor deflated; pack it in the usual way")
            else:
                with archive.open(member) as opened:
                    yield Entry(name, opened.read(MAX_FILE + 1))


@contextmanager
def damage(where: str) -> Iterator[None]:
    """Errors of a reader, on a file that is damaged or no archive, are raised as SourceError inside the block."""
    try:
        yield
    except MemoryError:  # Arrow's own is an ArrowException, too
        raise
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


def members(file: IO[bytes], limits: Limits) -> Entries:
    """The files of an archive, whatever kind it is. Raises SourceError for anything else, a damaged or too large one."""
    head = file.read(8)
    file.seek(0)
    with damage("source"):
        if head[:2] == b"PK":
            yield from Sampler("source").samples(entries_of_zip(file, limits))
        elif head[:4] == b"PAR1":
            yield from entries_of_parquet(file, limits=limits)
        else:
            yield from entries_of_tar(file, limits=limits)
