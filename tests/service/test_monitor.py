"""/metrics and /healthz of a process that answers nothing else."""

import socket
import time
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from service import monitor
from service.api.app import create_app
from service.settings import Settings
from tests.servers import free_port


def asked(port: int, path: str) -> httpx.Response:
    end = time.monotonic() + 20
    while True:
        try:
            return httpx.get(f"http://127.0.0.1:{port}{path}")
        except httpx.TransportError:
            assert time.monotonic() < end
            time.sleep(0.05)


def test_health_is_told_with_the_reason() -> None:
    wrong: list[str] = []
    port = free_port()
    monitor.serve(port, lambda: wrong[0] if wrong else None)
    assert (asked(port, "/healthz").status_code, asked(port, "/healthz").json()) == (200, {"status": "ok"})
    wrong.append("no step for 2000 s")
    assert (asked(port, "/healthz").status_code, asked(port, "/healthz").json()) == (503, {"status": "no step for 2000 s"})
    assert "counterpoise_webhook_attempts_total" in asked(port, "/metrics").text


def test_the_api_serves_its_metrics_apart_from_what_clients_reach(tmp_path: Path) -> None:
    port = free_port()
    with TestClient(create_app(Settings(state_dir=tmp_path, metrics_port=port, auth=False))) as client:
        assert "counterpoise_queue_age_seconds" in asked(port, "/metrics").text
        assert client.get("/metrics").status_code == 404


def test_a_port_that_is_taken_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "RETRY_SECONDS", 0.05)
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monitor.serve(port, lambda: None)
        time.sleep(0.3)
    assert asked(port, "/healthz").json() == {"status": "ok"}
