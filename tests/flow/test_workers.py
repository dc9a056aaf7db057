"""Versions made by worker processes over a real broker, undisturbed and disturbed."""

import hashlib
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from pipelines.spec import parse
from pipelines.store import keys
from pipelines.store.object_store import Store
from pipelines.version.plan import read_plan
from pipelines.version.rows import read_shards
from service.api.app import create_app
from service.broker import LOOK, open_broker
from service.client import Client
from service.state import api_keys, events, leases, queue, versions
from service.state.lifecycle import WORKER_KINDS
from tests.flow.deployment import Deployment, ask, deployed, ended
from tests.servers import credentials, faulty, free_port, postgresql, s3
from tests.test_run import SPEC


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    with deployed(tmp_path) as made:
        yield made


def test_killed_in_every_stage_a_version_ends_with_the_same_bytes(deployment: Deployment) -> None:
    undisturbed = ask(deployment, "calm")
    worker = deployment.start()
    assert deployment.watch(undisturbed, ended) == "completed"
    version = ask(deployment)
    for state in ("planning", "learning", "generating", "finalizing", "evaluating", "reporting"):
        deployment.caught(version, state)
        deployment.kill(worker)
        worker = deployment.start()
    assert deployment.watch(version, ended) == "completed"
    first, second = deployment.tree("calm"), deployment.tree("team")
    assert len(first) > 10
    assert second == first


def test_an_api_that_is_killed_and_started_again_goes_on_telling(deployment: Deployment) -> None:
    port, database = free_port(), deployment.database
    api = deployment.api(port)
    deployment.start()
    with Client(f"http://127.0.0.1:{port}", api_keys.create(database, "test", "team", api_keys.SCOPES)) as client:
        version = client.submit(parse({**SPEC, "evaluation": None}))
        told = []
        for event in client.events("shoes", version.number):
            told.append(event)
            if event.data.get("state") == "generating":
                deployment.kill(api)
                api = deployment.api(port)
        (found,) = versions.page(database, "team", dataset=None, state=None, before=None, limit=5)
        assert (found.state, client.version("shoes", 1).state) == ("completed", "completed")
        assert [each.id for each in told] == [row.id for row in events.list_after(database, found.id, 0)]


def test_a_flushed_broker_loses_nothing(deployment: Deployment) -> None:
    version = ask(deployment, evaluation=None)
    deployment.start()
    deployment.watch(version, lambda state: state == "generating")
    deployment.broker.client().flushall()  # type: ignore[no-untyped-call]
    assert deployment.watch(version, ended) == "completed"
    completed = versions.get(deployment.database, version)
    assert completed is not None
    manifest = Store.open(f"{deployment.settings.store}/team").json(keys.manifest(keys.version("shoes", 1)))
    assert completed.size == sum(file["size"] for file in manifest["files"]) > 0
    assert completed.counts == manifest["counts"]


def test_a_worker_that_is_asked_to_end_gives_its_unit_back(deployment: Deployment) -> None:
    steps = {"vectors": 1, "images": 6, "steps": 4000, "batch": 4, "checkpoint_every": 20}
    version = ask(deployment, evaluation=None, method={**SPEC["method"], "inversion": steps})
    worker = deployment.start()
    deployment.watch(version, lambda state: state == "learning")
    time.sleep(5)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=20) == 0
    ((unit, stage),) = queue.next_units(deployment.database)
    assert stage == "learn"
    assert leases.acquire(deployment.database, unit, "next", 60).attempts == 1  # type: ignore[union-attr]


def test_what_cannot_be_done_fails_with_its_reason(deployment: Deployment) -> None:
    version = ask(deployment, source={"type": "folder", "path": str(deployment.folder / "nothing")})
    deployment.start()
    assert deployment.watch(version, ended) == "failed"
    found = versions.get(deployment.database, version)
    assert found is not None
    assert found.error is not None
    assert "nothing" in found.error


def test_messages_that_come_many_times_do_no_harm(deployment: Deployment) -> None:
    """Two workers, and every message delivered thirty times over."""
    version = ask(deployment, evaluation=None)
    deployment.start()
    deployment.start()
    broker, over = open_broker(deployment.settings.broker), threading.Event()

    def flood() -> None:
        while not over.wait(0.5):
            for _ in range(30):
                for kind in WORKER_KINDS:
                    broker.send_task(LOOK, args=(kind,), queue=kind)

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        assert deployment.watch(version, ended) == "completed"
    finally:
        over.set()
        thread.join()
    store = Store.open(f"{deployment.settings.store}/team")
    plan = read_plan(store, keys.version("shoes", 1))
    assert plan is not None
    rows = [
        row for rejected in (False, True) for row in read_shards(store, keys.version("shoes", 1), plan, rejected=rejected)
    ]
    made = [(row["index"], row["attempt"]) for row in rows]
    assert len(made) == len(set(made))
    counts = store.json(keys.manifest(keys.version("shoes", 1)))["counts"]
    assert counts["generated"] == len(made)
    done = [e.data for e in events.list_after(deployment.database, version, 0) if e.kind == "unit"]
    units = [(data["stage"], data["number"]) for data in done]
    assert len(units) == len(set(units))


def test_a_database_that_is_locked_for_seconds_is_waited_for(deployment: Deployment) -> None:
    """Longer than a lease lasts."""
    version = ask(deployment, evaluation=None)
    deployment.start()
    deployment.watch(version, lambda state: state == "generating")
    lock = sqlite3.connect(deployment.folder / "state.db", isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    time.sleep(6)
    lock.execute("ROLLBACK")
    lock.close()
    assert deployment.watch(version, ended) == "completed"


def downloaded(remote: Deployment) -> None:
    """What the API lists can be fetched from the object store itself, by links that need no key."""
    secret = api_keys.create(remote.database, "test", "team", api_keys.SCOPES)
    with TestClient(create_app(remote.settings)) as client:
        client.headers["Authorization"] = f"Bearer {secret}"
        files = client.get("/v1/datasets/shoes/versions/1/files").json()
        (plan,) = (file for file in files if file["path"] == "plan.json")
        assert "/bucket/all/team/datasets/shoes/v1/plan.json?" in plan["url"]
        assert hashlib.sha256(httpx.get(plan["url"]).content).hexdigest() == plan["sha256"]
        assert httpx.get(plan["url"].split("?")[0]).status_code == 403
        (sample, *_) = client.get("/v1/datasets/shoes/versions/1/samples").json()["items"]
        assert client.get(sample["image"]).headers["content-type"] == "image/png"
        client.app.state.context.database.engine.dispose()  # type: ignore[attr-defined]


def test_on_postgresql_and_a_failing_s3_a_version_has_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One write in five fails, half of those after it was done; and the worker is killed."""
    (tmp_path / "local").mkdir()
    (tmp_path / "s3").mkdir()
    with deployed(tmp_path / "local") as local:
        version = ask(local)
        local.start()
        assert local.watch(version, ended) == "completed"
        expected = local.tree("team")
    with postgresql() as url, s3(tmp_path / "s3") as port, faulty(port, 5) as proxy:
        environment = credentials(proxy.port)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        with deployed(tmp_path, environment, database_url=url, store_url="s3://bucket/all") as remote:
            version = ask(remote)
            worker = remote.start()
            remote.watch(version, lambda state: state == "generating")
            remote.kill(worker)
            remote.start()
            assert remote.watch(version, ended) == "completed"
            assert remote.tree("team") == expected
            downloaded(remote)
        assert proxy.failed >= 3


SLOW = """
import sys, time
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "workers.unit":
            time.sleep(8)
sys.meta_path.insert(0, Finder())
"""


def test_on_a_busy_machine_the_successor_of_a_killed_process_may_take_its_time(tmp_path: Path) -> None:
    """Left to itself, Celery kills a process that is not up after 4 seconds, and its successor, and so on."""
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow/sitecustomize.py").write_text(SLOW)
    with deployed(tmp_path, {"PYTHONPATH": str(tmp_path / "slow")}) as deployment:
        first = ask(deployment)
        worker = deployment.start()
        deployment.watch(first, lambda state: state != "queued", 60)
        children = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
        for child in children:
            os.kill(int(child), signal.SIGKILL)
        assert deployment.watch(first, lambda state: state not in ("queued", "planning"), 60) == "learning"
