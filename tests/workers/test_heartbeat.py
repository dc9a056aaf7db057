"""What a worker notices at the next step of its work, and what it then does. Ten seconds, most of it one small version."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from pipelines.job import Job
from pipelines.progress import step
from pipelines.store import keys
from pipelines.store.object_store import Store
from service.settings import Settings
from service.state import queue, versions
from service.state.database import Database
from service.state.leases import Lease, LeaseLost
from service.state.tables import Unit
from tests.builders import document
from tests.service.state.units import state, take
from workers import metrics
from workers.heartbeat import Heartbeat
from workers.unit import Worker

LEASE = 0.3  # seconds


@pytest.fixture
def database(tmp_path: Path) -> Database:
    database = Database.open(f"sqlite:///{tmp_path / 'state.db'}")
    database.create()
    return database


def leased(database: Database) -> Lease:
    versions.create(database, "team", "shoes", document())
    return take(database, seconds=LEASE)


def lease_until(database: Database, lease: Lease) -> float:
    with database.engine.connect() as connection:
        return float(connection.scalar(select(Unit.lease_until).where(Unit.id == lease.unit)) or 0)


def heartbeat(database: Database, lease: Lease, seconds: float = LEASE, longest: float = 60) -> Heartbeat:
    return Heartbeat(database, lease, seconds, lambda: False, longest)


def test_thawed_after_its_lease_was_given_to_another_it_stops_at_the_first_step(database: Database) -> None:
    """Its own thread has not had a turn yet."""
    lost = heartbeat(database, leased(database))
    lost.check()
    time.sleep(LEASE + 0.1)
    take(database, "heir")
    with pytest.raises(LeaseLost):
        lost.check()


def test_thawed_with_a_lease_that_nobody_else_has_it_goes_on(database: Database) -> None:
    lease = leased(database)
    kept = heartbeat(database, lease)
    time.sleep(LEASE + 0.1)
    kept.check()
    assert lease_until(database, lease) > time.time()


def test_a_step_anywhere_in_the_work_is_a_check(database: Database) -> None:
    ended = heartbeat(database, leased(database), seconds=60)
    with ended.running():
        step()
        ended.lost.set()
        with pytest.raises(LeaseLost):
            step()
        with pytest.raises(LeaseLost):
            Store.open(Path(database.engine.url.database or "").parent / "store").put("key", b"")
    step()


def test_work_that_makes_no_step_loses_its_lease(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    lease = leased(database)
    until = lease_until(database, lease)
    monkeypatch.setattr(metrics, "silence", lambda: metrics.HANG_SECONDS + 1.0)
    with heartbeat(database, lease).running():
        time.sleep(LEASE + 0.1)
        assert lease_until(database, lease) == until
        assert take(database, "heir").fence == lease.fence + 1


def test_a_unit_that_takes_too_long_fails_its_version_and_says_how_to_go_on(tmp_path: Path, database: Database) -> None:
    version = versions.create(database, "team", "shoes", document())
    settings = Settings(state_dir=tmp_path, unit_seconds=1e-6)
    assert Worker(settings, database, "w", lambda: False).run_next("cpu")
    failed = versions.get(database, version)
    assert failed is not None
    assert failed.state == "failed"
    assert "COUNTERPOISE_UNIT_SECONDS" in str(failed.error)


class Frozen(Worker):
    """A worker that is frozen, with its heartbeat, before it writes a shard's samples, for longer than its lease lasts."""

    meanwhile: Callable[[], None]

    def job(self, version_id: int, heartbeat: Heartbeat) -> Job:
        made = super().job(version_id, heartbeat)
        worker = self

        class Freezing(Store):
            def put(self, key: str, data: bytes) -> None:
                if "/data/" in key and not heartbeat.ended.is_set():
                    heartbeat.ended.set()
                    time.sleep(LEASE + 0.1)
                    worker.meanwhile()
                super().put(key, data)

        made.resources.store = Freezing(made.store.objects)
        return made


def test_a_worker_that_is_thawed_writes_nothing_and_its_heir_completes_the_version(
    tmp_path: Path, tiny_checkpoint: Path
) -> None:
    settings = Settings(state_dir=tmp_path, lease_seconds=LEASE, model_roots=[tiny_checkpoint.parent])
    database = Database.open(settings.database)
    database.create()
    changes = {"models": {"text_to_image": str(tiny_checkpoint)}, "amount": {"per_class": 2}, "evaluation": None}
    version = versions.create(database, "team", "shoes", document(**changes))
    steady = settings.model_copy(update={"lease_seconds": 60.0})
    frozen, heir = Frozen(settings, database, "frozen", lambda: False), Worker(steady, database, "heir", lambda: False)
    trees: list[list[str]] = []
    store = Store.open(f"{settings.store}/team")

    def succeed() -> None:
        while heir.run_next("cpu") or heir.run_next("gpu"):
            pass
        trees.append(store.keys("datasets"))

    frozen.meanwhile = succeed
    while queue.next_units(database)[0][1] != "generate":
        assert heir.run_next("cpu") or heir.run_next("gpu")
    assert frozen.run_next("gpu")
    assert state(database, version) == "completed"
    assert trees == [store.keys("datasets")]
    (data,) = store.keys(f"{keys.version('shoes', 1)}/data")
    assert data.endswith("-of-00001-f2.parquet")
