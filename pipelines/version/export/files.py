"""What a format makes of a version: files, in their order, that are written into a folder or streamed as one tar."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from tarfile import BLOCKSIZE, PAX_FORMAT, TarInfo

from pipelines.version.export.samples import PublishedVersion
from pipelines.version.verdicts import FILE, encoded

PIECE = 2**18  # bytes of a stream that are sent together
PARTS = 64  # of what is made at a time: a stream is one of many, which take turns


@dataclass(frozen=True, slots=True)
class File:
    """A file by its path, and its content: may be asked for twice, and is the same then. So a long text is never held whole,
    though a tar has to say its size first."""

    path: str
    content: Callable[[], Iterable[bytes]]

    @classmethod
    def of(cls, path: str, data: bytes) -> "File":
        return cls(path, lambda: (data,))


@dataclass(frozen=True, slots=True)
class Format:
    files: Callable[[PublishedVersion], Iterator[File]]
    boxes: bool = False  # of samples whose object's box is known alone
    sharded: bool = False  # its files are the members of tars of bounded size


def obeyed_verdicts(version: PublishedVersion) -> Iterator[File]:
    """The verdicts that an export obeys, with who and when; no file where there are none."""
    if version.verdicts:
        yield File.of(FILE, encoded(version.verdicts.values()))


def header(path: str, size: int) -> bytes:
    """A member's header, the same for the same path and size."""
    member = TarInfo(path)
    member.size = size
    return member.tobuf(PAX_FORMAT)


def member(file: File, path: str) -> Iterator[bytes]:
    """A file as a member of a tar: nothing for each part of it that is counted, then all of it."""
    size = 0
    for part in file.content():
        size += len(part)
        yield b""
    yield header(path, size)
    yield from file.content()
    yield bytes(-size % BLOCKSIZE)


END = bytes(2 * BLOCKSIZE)  # of a tar


def tar(format: Format, version: PublishedVersion) -> Iterator[bytes]:
    """A version in a format, as one tar: of a sharded format the one shard, which holds samples alone, else all files. A
    piece may be empty."""
    pieces: list[bytes] = []
    size = 0
    for file in chain(format.files(version), () if format.sharded else obeyed_verdicts(version)):
        for piece in member(file, file.path.rpartition("/")[2] if format.sharded else file.path):
            pieces.append(piece)
            size += len(piece)
            if size >= PIECE or len(pieces) >= PARTS:
                yield b"".join(pieces)
                pieces, size = [], 0
    yield b"".join([*pieces, END])
