"""Addresses of webhooks: kept out of private networks, and refused when they are none."""

import pytest
from fastapi.testclient import TestClient

from tests.service.calls import problem


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/", "http://localhost:8000/", "http://10.1.2.3/", "http://192.168.0.1/", "http://169.254.169.254/latest",
        "http://[::1]/", "http://[fe80::1]/", "http://0.0.0.0/", "http://[::ffff:127.0.0.1]/", "http://2130706433/", "http://0x7f.1/",
    ],
)  # fmt: skip
def test_private_addresses_are_refused(client: TestClient, url: str) -> None:
    assert "no public address" in problem(client.post("/v1/webhooks", json={"url": url}), 422)["detail"]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://example.com/", "no plain http or https"),
        ("http://user:word@93.184.216.34/", "no plain http or https"),
        ("http://93.184.216.34:99999/", "no valid port"),
        ("nonsense", "no plain http or https"),
        ("http://no.such.name.invalid/", "has no address"),
        ("http://" + "a" * 300 + ".com/", "has no address"),
    ],
)
def test_addresses_that_are_none_are_refused(client: TestClient, url: str, said: str) -> None:
    assert said in problem(client.post("/v1/webhooks", json={"url": url}), 422)["detail"]
