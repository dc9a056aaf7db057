"""Reading an upload: by a worker, in a real child with a limit on its memory. 60 seconds, most of them packing archives."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from pipelines.source.upload import newest, summary
from pipelines.store import keys
from pipelines.store.object_store import Store
from service.settings import Settings
from service.state import leases, queue, uploads
from service.state.database import Database
from service.state.tables import Unit, Upload
from tests.source import bombs
from tests.source.packed import picture, tar
from workers import ingest
from workers.ingest import Task
from workers.unit import Worker

GOOD = {f"train/{label}/{n}.png": picture(10 * k + n) for k, label in enumerate(("boot", "sneaker")) for n in range(4)}
MEMORY = 2**30


def read(folder: Path, archive: bytes, memory: int = MEMORY) -> dict[str, Any]:
    """The last line of the child that reads an archive."""
    Store.open(folder).put("uploads/a", archive)
    task = Task(str(folder), "uploads/a", "birds", allow_synthetic=False, unpacked=2**33, images=100_000, memory=memory)
    with ingest.child(task) as process:
        assert process.stdout is not None
        answer: dict[str, Any] = json.loads(process.stdout.read().splitlines()[-1])
        assert process.wait(60) == 0
    return answer


@pytest.mark.parametrize(
    ("pack", "error", "mib"),
    [
        (bombs.repeated_value, "not a readable PNG", 500),
        (bombs.zeros, "not a readable PNG", 500),
        (bombs.flat, None, 600),
        (bombs.many_entries, "more than 100000 files", 350),
        (lambda: bombs.fewer_declared(bombs.many_entries()), "more than 100000 files", 350),
        (bombs.long_header, "a header in the tar has 16777215 bytes, more than 1048576", 200),
    ],
    ids=["parquet", "tgz", "png", "zip", "zip that lies", "pax"],
)
def test_a_small_archive_that_unpacks_to_much_takes_little_memory(
    tmp_path: Path, pack: Callable[[], bytes], error: str | None, mib: int
) -> None:
    answer = read(tmp_path, pack())
    assert answer["memory"] < mib
    if error is None:
        assert "digest" in answer
    else:
        assert error in answer["error"]
        assert answer["again"] is False


def test_what_needs_more_memory_than_is_allowed_is_refused(tmp_path: Path) -> None:
    answer = read(tmp_path, bombs.huge_value(), memory=2**28)
    assert "more than the 256 MiB of memory that the operator allows (COUNTERPOISE_INGEST_MEMORY)" in answer["error"]
    assert answer["again"] is False


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    settings = Settings(state_dir=tmp_path)
    database = Database.open(settings.database)
    database.create()
    return Worker(settings, database, "test", lambda: False)


def send(worker: Worker, archive: bytes) -> int:
    """An upload that waits."""
    Store.open(f"{worker.settings.store}/team").put(keys.archive("a"), archive)
    upload = uploads.create(
        worker.database, "team", "birds", key=keys.archive("a"), size=len(archive), allow_synthetic=False
    )
    return upload.id


def row(worker: Worker, upload_id: int) -> Upload:
    upload = uploads.get(worker.database, upload_id)
    assert upload is not None
    return upload


def test_a_worker_reads_an_upload_in_a_child(worker: Worker) -> None:
    upload = send(worker, tar(GOOD))
    assert worker.run_next("cpu")
    store = Store.open(f"{worker.settings.store}/team")
    done = row(worker, upload)
    assert (done.state, done.error, done.digest) == ("done", None, newest(store, "birds"))
    assert done.digest is not None
    assert summary(store, "birds", done.digest)["classes"] == {"boot": 4, "sneaker": 4}
    assert store.keys("uploads") == []
    assert not worker.run_next("cpu")


def test_what_is_no_archive_fails_its_upload_alone(worker: Worker) -> None:
    upload = send(worker, b"nonsense" * 100)
    assert worker.run_next("cpu")
    failed = row(worker, upload)
    assert failed.state == "failed"
    assert failed.error is not None
    assert failed.error.startswith("source: not a readable tar, zip or Parquet file")
    assert Store.open(f"{worker.settings.store}/team").keys("") == []
    assert not worker.run_next("cpu")


def child_runs() -> bool:
    """Whether a process of this one reads an upload."""
    for path in Path("/proc/self/task").glob("*/children"):
        for pid in path.read_text().split():
            command = Path(f"/proc/{pid}/cmdline")
            if command.exists() and b"workers.ingest" in command.read_bytes():
                return True
    return False


def while_reading(worker: Worker, strike: Callable[[], None]) -> None:
    """Let the worker begin with an upload that takes long, and strike when its child runs."""
    thread = threading.Thread(target=worker.run_next, args=("cpu",))
    thread.start()
    end = time.monotonic() + 60
    while not child_runs() and time.monotonic() < end:
        time.sleep(0.02)
    assert child_runs()
    strike()
    thread.join(30)
    assert not thread.is_alive()
    assert not child_runs()


def test_a_worker_that_is_to_end_ends_its_child_and_gives_the_upload_back(worker: Worker) -> None:
    upload, ended = send(worker, bombs.flat(copies=60)), threading.Event()
    worker.stopping = ended.is_set
    while_reading(worker, ended.set)
    assert (row(worker, upload).state, row(worker, upload).ended) == ("waiting", None)
    ((unit, stage),) = queue.next_units(worker.database)
    lease = leases.acquire(worker.database, unit, "next", 60)
    assert lease is not None
    assert (stage, lease.attempts, lease.upload, lease.version) == ("ingest", 1, upload, None)
    assert row(worker, upload).state == "reading"


def test_a_lost_lease_ends_the_child_and_changes_nothing(worker: Worker) -> None:
    upload = send(worker, bombs.flat(copies=60))
    worker.settings = worker.settings.model_copy(update={"lease_seconds": 2.0})

    def take_over() -> None:
        with worker.database.write() as session:
            session.execute(sqlalchemy.update(Unit).values(fence=Unit.fence + 1, owner="other"))

    while_reading(worker, take_over)
    assert row(worker, upload).state == "reading"
    assert Store.open(f"{worker.settings.store}/team").keys("") == [keys.archive("a")]


def test_an_aborting_child_fails_its_upload(worker: Worker) -> None:
    """As a library does that gets no memory."""
    upload = send(worker, bombs.flat(copies=60))

    def abort() -> None:
        for path in Path("/proc/self/task").glob("*/children"):
            for pid in map(int, path.read_text().split()):
                if b"workers.ingest" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGABRT)

    while_reading(worker, abort)
    failed = row(worker, upload)
    assert failed.state == "failed"
    assert "COUNTERPOISE_INGEST_MEMORY" in str(failed.error)
