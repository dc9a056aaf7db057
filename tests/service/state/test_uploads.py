"""The one unit of an upload: leased, given back, failed, done; and which of two uploads is the newest state. 3 seconds."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.state import leases, queue, uploads
from service.state.database import Database
from service.state.leases import Lease, LeaseLost
from service.state.tables import Upload
from tests.service.state.units import take


def send(database: Database, source: str = "birds") -> int:
    upload = uploads.create(database, "team", source, key="uploads/a", size=3, allow_synthetic=False)
    return upload.id


def row(database: Database, upload: int) -> Upload:
    found = uploads.get(database, upload)
    assert found is not None
    return found


def unread(database: Database, source: str | None = None) -> int | None:
    upload = uploads.unread(database, "team", source)
    return None if upload is None else upload.id


def test_an_upload_waits_is_read_and_done(database: Database) -> None:
    upload = send(database)
    assert queue.depth(database) == {"ingest": 1}
    assert (row(database, upload).state, unread(database, "birds")) == ("waiting", upload)
    assert (unread(database), unread(database, "cats")) == (upload, None)
    lease = take(database)
    assert (lease.stage, lease.upload, lease.version) == ("ingest", upload, None)
    assert row(database, upload).state == "reading"
    leases.renew(database, lease, 60)
    newest: list[str] = []
    leases.complete_upload(database, lease, {"digest": "d"}, lambda: newest.append("d"))
    done = row(database, upload)
    assert (done.state, done.digest, newest, done.ended is not None) == ("done", "d", ["d"], True)
    assert (queue.depth(database), queue.count_active(database)) == ({}, {})
    assert unread(database, "birds") is None
    for call in (leases.release, lambda d, ended: leases.fail(d, ended, "late", again=False)):
        with pytest.raises(LeaseLost):
            call(database, lease)
    assert row(database, upload).state == "done"


def test_what_is_given_back_or_failed_for_once_waits_again(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "BACKOFF", 0.0)
    upload = send(database)
    leases.release(database, take(database))
    assert row(database, upload).state == "waiting"
    for attempt in range(1, leases.ATTEMPTS + 1):
        lease = take(database)
        assert (lease.attempts, row(database, upload).state) == (attempt, "reading")
        leases.fail(database, lease, "the store is away", again=True)
    failed = row(database, upload)
    assert (failed.state, failed.error, failed.ended is not None) == ("failed", "the store is away", True)
    assert queue.next_units(database) == []


def test_an_upload_whose_workers_die_fails(database: Database) -> None:
    upload = send(database)
    for _ in range(leases.ATTEMPTS):
        take(database, seconds=-1)
    ((unit, _),) = queue.next_units(database)
    assert leases.acquire(database, unit, "last", 60) is None
    assert (row(database, upload).state, row(database, upload).error) == ("failed", "ingest 0: its worker died 5 times")


def test_of_uploads_that_end_at_once_the_last_is_the_newest(database: Database) -> None:
    """However their transactions come: each is read by another worker, which takes its time to make it the newest."""
    sent = [send(database) for _ in range(4)]
    leased = [take(database, owner=f"w{number}") for number in range(4)]
    newest: list[int] = []
    gate = threading.Barrier(4)

    def end(lease: Lease) -> None:
        def make_newest() -> None:
            time.sleep(0.05)
            newest.append(lease.upload or 0)

        gate.wait()
        leases.complete_upload(database, lease, {"digest": str(lease.upload)}, make_newest)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(end, reversed(leased)))
    assert newest[-1] == sent[-1]
    assert newest == sorted(newest)
    assert all(row(database, upload).state == "done" for upload in sent)


def test_an_upload_whose_newest_state_cannot_be_written_is_not_done(database: Database) -> None:
    upload = send(database)
    lease = take(database)

    def away() -> None:
        raise OSError("the store is away")

    with pytest.raises(OSError, match="away"):
        leases.complete_upload(database, lease, {"digest": "d"}, away)
    assert row(database, upload).state == "reading"
    leases.renew(database, lease, 60)


def test_the_tenants_and_sources_uploads_are_their_own(database: Database) -> None:
    upload = send(database)
    assert uploads.find(database, "team", "birds", upload) is not None
    assert uploads.find(database, "others", "birds", upload) is None
    assert uploads.find(database, "team", "cars", upload) is None
    assert uploads.unread(database, "team", "cars") is None
