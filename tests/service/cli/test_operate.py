"""Without API keys, the API can be reached from this machine alone."""

import pytest
from typer.testing import CliRunner

from service.cli import app
from service.cli.operate import is_loopback


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com"])
def test_without_keys_it_listens_on_loopback_alone(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERPOISE_AUTH", "false")
    refused = CliRunner().invoke(app, ["api", "--host", host, "--port", "1"])
    assert refused.exit_code == 2
    assert "COUNTERPOISE_AUTH is off; turn it on, or use 127.0.0.1" in refused.output


def test_what_is_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "localhost.example.com")))
