"""Probes. Of a service whose broker is away: `tests/service/versions`."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.api.app import create_app
from service.settings import Settings
from tests.service.calls import as_, context, problem


def test_why_a_part_is_away_is_for_whoever_may_do_everything(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, broker_url="redis://127.0.0.1:1/0")
    with TestClient(create_app(settings)) as client:
        away = {"database": "ok", "broker": "away", "store": "ok"}
        assert client.get("/readyz").json() == client.get("/readyz", headers=as_(client, "team")).json() == away
        explained = client.get("/readyz", headers=as_(client, "team", "admin")).json()
        assert explained["broker"].startswith("away: ConnectionError: Error 111")
        context(client).database.engine.dispose()


def test_only_without_its_database_is_it_down(client: TestClient, tmp_path: Path) -> None:
    context(client).database.engine.dispose()
    (tmp_path / "state.db").rename(tmp_path / "elsewhere.db")
    (tmp_path / "state.db").mkdir()
    assert problem(client.get("/readyz"), 503)["detail"] == "database: away; broker: ok; store: ok"
    assert client.get("/healthz").status_code == 200
    refused = client.get("/v1/versions")
    assert problem(refused, 503)["detail"] == "the database does not answer; try again later"
    assert "Retry-After" in refused.headers


def test_probes_side_by_side_are_one(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[float] = []
    readiness = context(client).readiness
    monkeypatch.setattr("service.health.readiness.MAX_AGE", 60)
    monkeypatch.setitem(readiness.checks, "store", lambda: calls.append(time.sleep(0.3) or 0.0))
    with ThreadPoolExecutor(8) as threads:
        answers = [call.result() for call in [threads.submit(client.get, "/readyz") for _ in range(8)]]
    assert {answer.status_code for answer in answers} == {200}
    client.get("/readyz")
    assert len(calls) == 1
    monkeypatch.setattr("service.health.readiness.MAX_AGE", 0)
    client.get("/readyz")
    assert len(calls) == 2


def test_ready_means_that_every_part_was_touched(client: TestClient) -> None:
    assert client.get("/readyz").json() == {"database": "ok", "broker": "ok", "store": "ok"}
