"""A push, by Hugging Face's own client, to a stand-in that speaks the hub's protocol. Twenty seconds: a process a push."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from datasets import load_dataset

from tests.version.export.hub import TOKEN, Hub, hub
from tests.version.export.versions import patch, row, write

ROOT = Path(__file__).parents[3]
ROWS = [row(number, number % 2, patch(number)) for number in range(6)]


@pytest.fixture
def served() -> Iterator[Hub]:
    with hub() as running:
        yield running


def push(served: Hub, folder: Path, *options: str, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    """In a process of its own: the client reads its settings once, when it is imported."""
    settings = {"HF_ENDPOINT": served.url, "HF_TOKEN": token, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "-m", "service.cli", "export", str(folder), "--push", "team/shoes", *options]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **settings}, capture_output=True, text=True, timeout=60)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_repository_holds_the_version_that_was_pushed_last(served: Hub, tmp_path: Path) -> None:
    write(tmp_path / "v1", ["boot", "shoe"], [ROWS[:2], ROWS[2:4], ROWS[4:]])
    write(tmp_path / "v2", ["boot", "shoe"], [ROWS[:5]])
    (tmp_path / "v1/evaluation.json").write_text("{}")  # written after the manifest
    (tmp_path / "v1/notes.txt").write_text("mine")  # no part of the version
    done = push(served, tmp_path / "v1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{served.url}/datasets/team/shoes/commit/{1:040x}"
    assert served.private == {"team/shoes": True}
    expected = {path: data for path, data in contents(tmp_path / "v1").items() if path != "notes.txt"}
    assert served.files["team/shoes"] == {".gitattributes": b"", **expected}
    for path, data in served.files["team/shoes"].items():
        (tmp_path / "clone" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "clone" / path).write_bytes(data)
    table = load_dataset("parquet", data_files=str(tmp_path / "clone/data/*.parquet"), cache_dir=str(tmp_path / "cache"))
    assert [line["index"] for line in table["train"]] == list(range(6))
    served.files["team/shoes"]["LICENSE"] = b"mine"
    assert push(served, tmp_path / "v2").returncode == 0
    assert served.files["team/shoes"] == {".gitattributes": b"", "LICENSE": b"mine", **contents(tmp_path / "v2")}
    assert served.commits == ["shoes, version 3"] * 2


def test_a_new_repository_is_public_where_that_is_asked_for(served: Hub, tmp_path: Path) -> None:
    write(tmp_path / "v1", ["boot", "shoe"], [ROWS])
    assert push(served, tmp_path / "v1", "--public").returncode == 0
    assert served.private == {"team/shoes": False}


@pytest.mark.parametrize("fault", ["token", "object", "missing"])
def test_a_push_that_fails_commits_nothing_and_says_why(served: Hub, tmp_path: Path, fault: str) -> None:
    version = write(tmp_path / "v1", ["boot", "shoe"], [ROWS])
    if fault == "object":
        served.refused_objects.add("any")
    if fault == "missing":
        (tmp_path / "v1" / version.files[0]).unlink()
    done = push(served, tmp_path / "v1", token="hf_wrong" if fault == "token" else TOKEN)
    assert done.returncode == 2
    expected = {
        "token": "--push: 'team/shoes' could not be written: ",
        "object": "--push: 'team/shoes' could not be written: Error while uploading 'data/train-00000-of-00001.parquet'",
        "missing": "which its manifest names; pull it again",
    }[fault]
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert served.commits == []
