"""Who may reach the service: without keys, nobody but this machine."""

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from service.cli import app
from service.cli.operate import loopback
from tests.service.calls import SHOES, SPEC, operated, problem


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com"])
def test_without_keys_it_listens_on_loopback_alone(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERPOISE_AUTH", "false")
    refused = CliRunner().invoke(app, ["api", "--host", host, "--port", "1"])
    assert refused.exit_code == 2
    assert "COUNTERPOISE_AUTH is off; turn it on, or use 127.0.0.1" in refused.output


def test_what_is_loopback() -> None:
    assert all(map(loopback, ("127.0.0.1", "127.9.9.9", "::1", "localhost")))
    assert not any(map(loopback, ("0.0.0.0", "::", "10.0.0.1", "localhost.example.com")))


def test_keys_can_be_done_without(client: TestClient) -> None:
    bare = {"Authorization": ""}
    problem(client.post(SHOES, json=SPEC, headers=bare), 401)
    operated(client, auth=False)
    assert client.post(SHOES, json=SPEC, headers=bare).status_code == 202
    assert client.get(f"{SHOES}/1", headers=bare).json()["dataset"] == "shoes"
