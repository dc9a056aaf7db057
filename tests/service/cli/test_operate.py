"""Commands of an operator: where the API listens, the database and its keys, settings."""

import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli import app
from service.cli.operate import is_loopback
from service.settings import Settings
from tests.service.cli.commands import call


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com"])
def test_without_keys_it_listens_on_loopback_alone(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERPOISE_AUTH", "false")
    refused = CliRunner().invoke(app, ["api", "--host", host, "--port", "1"])
    assert refused.exit_code == 2
    assert "COUNTERPOISE_AUTH is off; turn it on, or use 127.0.0.1" in refused.output


def test_what_is_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "localhost.example.com")))


@pytest.mark.parametrize("command", ["up", "api"])
def test_a_port_that_is_taken_is_named_before_anything_is_started(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = call(command, "--port", port)
    assert refused.exit_code == 2
    assert refused.stderr == f"--port: {port} is taken by another process; stop that, or give another --port\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", ["--sources", "--models"])
@pytest.mark.parametrize("folder", [".", "state", "state/store"], ids=["holds it", "is it", "lies in it"])
def test_a_folder_that_opens_up_the_state_is_named_before_anything_is_started(
    option: str, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "state/store").mkdir(parents=True)
    refused = call("up", "--state-dir", "state", option, folder)
    assert refused.exit_code == 2
    assert refused.stdout == ""
    assert refused.stderr.startswith(f"{option}: {folder} holds, or lies in, what the service keeps for all (COUNTERPOISE_")
    assert [file.name for file in tmp_path.rglob("*")] == ["state", "store"]


def test_keys_of_a_service_that_never_was_say_where_to_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = call("keys", "list")
    assert done.exit_code == 2
    assert done.stderr.startswith("COUNTERPOISE_STATE_DIR: there is no folder .counterpoise")


def test_the_database_is_migrated_up_and_down_by_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERPOISE_STATE_DIR", str(tmp_path))
    for asked, there in (([], "0008"), (["--to", "0001"], "0001"), (["--to", "head"], "0008")):
        assert call("migrate", *asked).stdout == f"the database is at revision {there}\n"
    done = call("migrate", "--to", "7")
    assert done.exit_code == 2
    assert (
        "revision '7' of the database is not known here; known are base, 0001, 0002, 0003, 0004, 0005, 0008" in done.stderr
    )


def test_a_list_in_a_setting_is_names_with_commas_or_json(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, roots in (
        ("/data", ["/data"]),
        ("/data, s3://bucket/a", ["/data", "s3://bucket/a"]),
        ('["/a,b", "/c"]', ["/a,b", "/c"]),
        ("", []),
    ):
        monkeypatch.setenv("COUNTERPOISE_SOURCE_ROOTS", value)
        assert Settings().source_roots == roots
    monkeypatch.setenv("COUNTERPOISE_MODEL_ROOTS", "/models,/more")
    assert Settings().model_roots == [Path("/models"), Path("/more")]


@pytest.mark.parametrize("command", ["api", "worker", "scheduler"])
def test_no_process_starts_with_a_root_that_covers_the_state(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COUNTERPOISE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("COUNTERPOISE_SOURCE_ROOTS", f'["{tmp_path}"]')
    done = call(command)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"COUNTERPOISE_SOURCE_ROOTS: '{tmp_path}' holds, or lies in,")


def test_a_setting_that_cannot_be_read_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERPOISE_SOURCE_ROOTS", "[/x")
    found = call("keys", "list")
    assert found.exit_code == 2
    assert "source_roots" in found.stderr
    assert "is no JSON list" in found.stderr
