"""/metrics and /healthz of a process that answers nothing else."""

import socket
import time

import httpx
import pytest

from service import monitor
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


def test_a_port_that_is_taken_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "RETRY_SECONDS", 0.05)
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monitor.serve(port, lambda: None)
        time.sleep(0.3)
    assert asked(port, "/healthz").json() == {"status": "ok"}
