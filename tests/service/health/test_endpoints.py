"""Probes. Of a service whose broker is away: `tests/service/versions`."""

from fastapi.testclient import TestClient


def test_ready_means_that_every_part_was_touched(client: TestClient) -> None:
    assert client.get("/readyz").json() == {"database": "ok", "broker": "ok", "store": "ok"}
