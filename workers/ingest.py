"""Reading an upload, in a process of its own with a limit on its memory: what was sent may be made to fill it.

The worker starts `python -m workers.ingest`, writes a `Task` to it, and reads a line for each step: {"files": 12}; the last
is {"digest": ...} or {"error": ...}. Neither imports torch.
"""

import json
import os
import resource
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

from pipelines.errors import CounterpoiseError, SourceError, UnreachableError
from pipelines.source.archives import members
from pipelines.source.checks import Entries
from pipelines.source.limits import Limits
from pipelines.source.upload import take_in
from pipelines.store.object_store import Store
from service.settings import Settings
from service.state.tables import Upload
from workers.heartbeat import Heartbeat

BUFFER = 2**20  # bytes of an archive that are fetched at a time
PAUSE = 0.5  # seconds after which the worker looks whether it must end
STEP = 0.5  # seconds between two lines of the child
UNPACKED_RATIO = 4  # times the largest upload that an archive may unpack to


@dataclass(frozen=True, slots=True)
class Task:
    """What the child is to read, and within which limits."""

    store: str  # URL of the tenant's part of the store
    key: str  # of the archive
    source: str
    allow_synthetic: bool
    unpacked: int  # bytes
    images: int
    memory: int  # bytes

    @classmethod
    def of(cls, upload: Upload, settings: Settings) -> "Task":
        return cls(
            store=f"{settings.store}/{upload.tenant}",
            key=upload.key,
            source=upload.source,
            allow_synthetic=upload.allow_synthetic,
            unpacked=UNPACKED_RATIO * settings.max_upload_bytes,
            images=settings.max_upload_images,
            memory=settings.ingest_memory,
        )

    @property
    def too_little_memory(self) -> str:
        return (
            f"source: reading it needs more than the {self.memory // 2**20} MiB of memory that the operator allows "
            "(COUNTERPOISE_INGEST_MEMORY); send smaller images, or fewer in a row group"
        )


def read(task: Task, heartbeat: Heartbeat) -> dict[str, Any]:
    """Read an upload in a child; return the `digest` of the state that it is, `files` and `memory`, MiB at the most.

    Raises CounterpoiseError for what cannot be read. LeaseLost and Stopping end the child.
    """
    answer: dict[str, Any] = {}
    with child(task) as process:
        assert process.stdout is not None
        for line in lines(process.stdout, heartbeat):
            heartbeat.check()
            answer = json.loads(line)
        status = process.wait()
    if "digest" in answer:
        return answer
    if "error" in answer:
        raise (UnreachableError if answer["again"] else SourceError)(answer["error"])
    if status < 0:  # a library that gets no memory aborts
        raise SourceError(task.too_little_memory)
    raise UnreachableError(f"source: the process that read it ended with status {status}; the worker's log says more")


@contextmanager
def child(task: Task) -> Iterator[subprocess.Popen[bytes]]:
    """The process that reads, killed at the end of the block if it has not ended."""
    # Arrow's own allocator would reserve memory that it does not use.
    environment = {**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "workers.ingest", json.dumps(asdict(task))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0, env=environment)
    with process:
        try:
            yield process
        finally:
            process.kill()


def lines(stream: IO[bytes], heartbeat: Heartbeat) -> Iterator[bytes]:
    """The lines of a child until it ends. Between them, LeaseLost and Stopping are raised as soon as they are due."""
    while True:
        while not select.select([stream], [], [], PAUSE)[0]:
            heartbeat.end_if_due()
        line = stream.readline()
        if not line:
            return
        yield line


def write(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


def stepping(entries: Entries) -> Entries:
    """The same entries; a line is written for them from time to time."""
    written = 0.0
    for count, entry in enumerate(entries, start=1):
        if time.monotonic() - written >= STEP:
            written = time.monotonic()
            write({"files": count})
        yield entry


def peak_memory() -> int:
    """MiB that this process has held at the most. Its `ru_maxrss` is that of the process which started it, if larger."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))


def take(task: Task) -> str:
    """Read the archive; return the digest of the state that it is. Raises CounterpoiseError, MemoryError."""
    store = Store.open(task.store)
    archive = store.file(task.key)
    if archive is None:
        raise SourceError("source: what was sent is not in the store any more; send it again")
    with BufferedReader(archive, BUFFER) as file:
        entries = stepping(members(file, Limits(task.unpacked, task.images)))
        limits = Limits(task.unpacked, task.images)
        return take_in(store, task.source, entries, limits, allow_synthetic=task.allow_synthetic)


def main() -> None:
    """The child."""
    task = Task(**json.loads(sys.argv[1]))
    resource.setrlimit(resource.RLIMIT_DATA, (task.memory, task.memory))
    try:
        answer: dict[str, Any] = {"digest": take(task)}
    except MemoryError:
        answer = {"error": task.too_little_memory, "again": False}
    except CounterpoiseError as error:
        answer = {"error": str(error), "again": error.retry}
    except Exception as error:
        answer = {"error": f"source: {type(error).__name__}: {error}", "again": True}
    write({**answer, "memory": peak_memory()})


if __name__ == "__main__":
    main()
