"""The unit that removes a version: by a real worker, that is told to end, dies, fails and goes on. 2 s."""

from pathlib import Path

import pytest

from pipelines.store import keys, object_store
from pipelines.store.object_store import Store
from service.settings import Settings
from service.state import deletions, leases, queue, versions
from service.state.database import Database
from workers.unit import Worker

ROOT = keys.version("shoes", 1)


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Worker:
    """With a version that is to be removed, of a spec that is not allowed any more."""
    monkeypatch.setattr(object_store, "BULK", 1)  # so that each object is a step
    monkeypatch.setattr(leases, "BACKOFF", 0.0)
    settings = Settings(state_dir=tmp_path)
    database = Database.open(settings.database)
    database.create()
    version = versions.create(database, "team", "shoes", {"name": "shoes", "source": {"type": "folder", "path": "/etc"}})
    ((unit, _),) = queue.next_units(database)
    lease = leases.acquire(database, unit, "w", 60)
    assert lease is not None
    leases.complete(database, lease, {}, {})
    deletions.begin(database, version)
    for number in range(4):
        store(settings).put(keys.report(ROOT, number), b"{}")
    store(settings).put(keys.manifest(ROOT), b"{}")
    return Worker(settings, database, "test", lambda: False)


def store(settings: Settings) -> Store:
    return Store.open(f"{settings.store}/team")


def left(worker: Worker) -> int:
    return len(store(worker.settings).keys("datasets"))


def test_it_removes_all(worker: Worker) -> None:
    assert not worker.run_next("gpu")
    assert worker.run_next("cpu")
    assert left(worker) == 0
    assert versions.find(worker.database, "team", "shoes", 1) is None
    assert not worker.run_next("cpu")


def test_told_to_end_it_gives_the_unit_back_and_another_goes_on(worker: Worker) -> None:
    steps = 0

    def stopping() -> bool:
        nonlocal steps
        steps += 1
        return steps > 3

    worker.stopping = stopping
    assert worker.run_next("cpu")
    assert 0 < left(worker) < 5
    worker.stopping = lambda: False
    assert worker.run_next("cpu")
    assert left(worker) == 0


def test_what_fails_is_tried_again(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(8):
        store(worker.settings).put(keys.report(ROOT, number), b"{}")
    delete_all, calls = Store.delete_all, 0

    def broken(self: Store, keys: list[str]) -> None:
        nonlocal calls
        calls += 1
        if calls % 3 == 0:
            raise OSError("the disk is away")
        delete_all(self, keys)

    monkeypatch.setattr(Store, "delete_all", broken)
    attempts = 0
    while attempts < 20 and worker.run_next("cpu"):
        attempts += 1
    assert attempts > leases.ATTEMPTS
    assert left(worker) == 0
    assert versions.find(worker.database, "team", "shoes", 1) is None


def test_a_worker_that_comes_late_does_no_harm(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lease expired: another has removed the version when it ends."""
    discard, heir = Store.delete_all, Worker(worker.settings, worker.database, "heir", lambda: False)

    def slow(self: Store, keys: list[str]) -> None:
        monkeypatch.setattr(Store, "delete_all", discard)
        with worker.database.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE units SET lease_until = 0")
        assert heir.run_next("cpu")
        discard(self, keys)

    monkeypatch.setattr(Store, "delete_all", slow)
    assert worker.run_next("cpu")
    assert left(worker) == 0
    assert versions.find(worker.database, "team", "shoes", 1) is None
