"""Pixels on disk: the images that classifiers are trained and tested on, decoded and scaled once, in files of this machine.

A file is addressed by what determines its images. Any process of the machine reads it, and any may remove it: whoever needs
it again makes it again.
"""

import mmap
import os
import tempfile
import time
import uuid
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import accumulate
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.lib import format as npy

from pipelines.errors import CacheError
from pipelines.records import Image
from pipelines.spec import Machine
from pipelines.store.canonical import digest

FORMAT = 1  # raised whenever the same facts give other pixels
GRACE = 86400.0  # seconds since its last use after which a file may be removed: until then it may be in use
UNUSED = 7 * GRACE  # seconds after which it is removed in any case
READ = 2**26  # bytes of a file that are mapped before they are given back
MAPPED = 2**21  # bytes that reading a single one may map: pages come in folios as large as this


class Pixels(Sequence[Image]):
    """Images of one size in a .npy file, uint8 (n, side, side, 3), mapped into memory. Another process is given its path."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            npy.read_magic(file)
            shape, _, _ = npy.read_array_header_1_0(file)
            self.memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self.array = np.frombuffer(self.memory, np.uint8, offset=file.tell()).reshape(shape)
        self.path, self.left = path, READ

    def __reduce__(self) -> tuple[type["Pixels"], tuple[Path]]:
        return Pixels, (self.path,)

    def __len__(self) -> int:
        return len(self.array)

    @overload
    def __getitem__(self, place: int) -> Image: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Image]: ...
    def __getitem__(self, place: int | slice) -> Image | Sequence[Image]:
        if self.left <= 0:  # what was read counts as this process's memory no more; it may stay in the page cache
            self.memory.madvise(mmap.MADV_DONTNEED)
            self.left = READ
        part = self.array[place]
        self.left -= max(part.nbytes, MAPPED)
        return part if isinstance(place, int) else list(part)


class Subset(Sequence[Image]):
    """Some of other images, by their numbers. None is read before it is needed."""

    def __init__(self, images: Sequence[Image], rows: Sequence[int]) -> None:
        self.images, self.rows = images, rows

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, place: int) -> Image: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Image]: ...
    def __getitem__(self, place: int | slice) -> Image | Sequence[Image]:
        if isinstance(place, slice):
            return [self.images[row] for row in self.rows[place]]
        return self.images[self.rows[place]]


class Joined(Sequence[Image]):
    """The images of several sequences, one after the other. None is read before it is needed."""

    def __init__(self, parts: Sequence[Sequence[Image]]) -> None:
        self.parts, self.ends = parts, list(accumulate(map(len, parts)))

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    @overload
    def __getitem__(self, place: int) -> Image: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Image]: ...
    def __getitem__(self, place: int | slice) -> Image | Sequence[Image]:
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        place = range(len(self))[place]  # raises IndexError, by which an iteration ends
        part = bisect_right(self.ends, place)
        return self.parts[part][place - self.ends[part] + len(self.parts[part])]


class PixelCache:
    """A folder of such files."""

    def __init__(self, machine: Machine) -> None:
        self.folder = Path(machine.cache_dir) if machine.cache_dir else default_folder()
        self.most = machine.cache_bytes

    def get_or_make(self, facts: Any, side: int, count: int, images: Callable[[], Iterable[Image]]) -> Pixels:
        """The `count` images of this side that `facts` determine (a JSON value): those on disk, or else what `images`
        yields, written one after another. Raises CacheError."""
        path = self.folder / f"{digest([FORMAT, facts, side])}.npy"
        if not path.exists():
            with self.writing():
                self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                self.remove_unused(count * side * side * 3)
            self.write(path, (count, side, side, 3), images())
        with self.writing():
            os.utime(path)  # the time of its last use
        return Pixels(path)

    def write(self, path: Path, shape: tuple[int, ...], images: Iterable[Image]) -> None:
        """Under a name of its own until it is complete: of two processes that write the same, either may be the last."""
        part, written = path.with_suffix(f".{uuid.uuid4().hex}"), 0
        try:
            with self.writing():
                file = part.open("wb")
            with file:
                npy.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
                for image in images:
                    if image.shape != shape[1:]:
                        raise ValueError(f"an image of {image.shape} among those of {shape[1:]}")
                    with self.writing():
                        file.write(np.ascontiguousarray(image, np.uint8).data)
                    written += 1
                with self.writing():
                    file.flush()
            if written != shape[0]:
                raise ValueError(f"{written} images instead of {shape[0]}")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    def remove_unused(self, needed: int) -> None:
        """Remove what was not used for a week, and then what was used longest ago, until there is room for so many bytes."""
        files = []
        for path in self.folder.iterdir():
            with suppress(FileNotFoundError):  # another process has removed it
                files.append((path.stat().st_mtime, path.stat().st_size, path))
        total = needed + sum(size for _, size, _ in files)
        for used, size, path in sorted(files):
            unused = time.time() - used
            if unused < GRACE or (unused < UNUSED and total <= self.most):
                return
            path.unlink(missing_ok=True)
            total -= size

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Raises CacheError for what the disk refuses."""
        try:
            yield
        except OSError as error:
            raise CacheError(
                f"cache_dir: {self.folder}: cannot be written to ({error}); make room there, or name another folder by "
                "--cache-dir, of a service by COUNTERPOISE_CACHE_DIR"
            ) from error


def default_folder() -> Path:
    """One for each user, where temporary files lie on a disk: /tmp is often memory."""
    places = (os.environ.get("TMPDIR"), "/var/tmp", tempfile.gettempdir())
    return Path(next(place for place in places if place and os.access(place, os.W_OK)), f"counterpoise-{os.getuid()}")
