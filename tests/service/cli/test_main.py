"""The `counterpoise` command as a whole: its help, and the exit code of a bad spec."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.service.cli.commands import call, written

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("command", [["validate"], ["run", "--out", "out"]], ids=["validate", "run"])
def test_a_bad_spec_ends_with_2_and_names_every_wrong_field(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = call(*command, written(tmp_path, amount={"per_class": 0}, colour="red"))
    assert done.exit_code == 2
    assert done.stdout == ""
    first, second = done.stderr.splitlines()
    assert first.startswith("amount.per_class: ")
    assert "given: 0" in first
    assert second.startswith("colour: no such field")
    assert not (tmp_path / "out").exists()


def test_the_command_runs_as_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "service.cli", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert {"example", "run", "validate"} <= set(done.stdout.replace("│", " ").split())


def test_without_a_command_it_shows_its_help() -> None:
    assert "Usage:" in call().output
