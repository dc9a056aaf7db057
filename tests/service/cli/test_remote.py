"""Commands of a client, without a service: what is refused before anything is sent. With one: tests/flow/test_up.py."""

from pathlib import Path

import pytest

from tests.service.cli.commands import call, written


def test_a_key_of_other_characters_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERPOISE_KEY", "é")
    found = call("list")
    assert found.exit_code == 2
    assert "COUNTERPOISE_KEY: holds characters that no key has" in found.stderr


def test_an_address_without_a_scheme_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERPOISE_URL", "localhost:8123")
    refused = call("list")
    assert refused.exit_code == 2
    line = "COUNTERPOISE_URL: 'localhost:8123' is no address of a service; begin it with http:// or https://\n"
    assert refused.stderr == line


def test_a_schedule_that_cannot_be_read_is_refused_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COUNTERPOISE_URL", "http://127.0.0.1:9")  # where nobody listens
    refused = call("schedule", written(tmp_path), "--cron", "every day")
    assert refused.exit_code == 2
    assert "cron: 'every day' cannot be read" in refused.stderr.replace("\n", " ")


def test_a_spec_in_place_of_a_dataset_is_told_where_it_belongs() -> None:
    refused = call("refresh", "birds.yaml")
    assert refused.exit_code == 2
    assert "birds.yaml is a spec; give the dataset's name, and the spec by --spec birds.yaml" in refused.stderr
