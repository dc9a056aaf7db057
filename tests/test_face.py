"""`from counterpoise import ...`: the names that users may rely on, light until something is made."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from datasets import load_dataset

import counterpoise
from counterpoise import Client, CounterpoiseError, VersionSpec, load_spec, run
from tests.test_imports import HEAVY, ROOT

TINY = {
    "name": "tiny",
    "source": {"type": "few-shot", "shots": 1},
    "method": {"type": "text_to_image", "superclass": "garment", "steps": 1},
    "amount": {"per_class": 1},
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump(TINY))
    return path


def test_every_name_is_documented() -> None:
    assert set(counterpoise.__all__) == {"Client", "CounterpoiseError", "VersionSpec", "load_spec", "run"}
    assert all(getattr(counterpoise, name).__doc__ for name in counterpoise.__all__)


def test_every_package_is_checked_installed_and_copied_into_the_images() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    packages = sorted(init.parent.name for init in ROOT.glob("*/__init__.py") if init.parent.name != "tests")
    assert packages == ["counterpoise", "pipelines", "service", "workers"]
    assert project["mypy"]["packages"] == packages
    assert project["setuptools"]["packages"]["find"]["include"] == [f"{name}*" for name in packages]
    assert {f"!{name}" for name in packages} <= set((ROOT / ".dockerignore").read_text().splitlines())
    for image in ("service", "worker"):
        lines = (ROOT / f"docker/{image}.Dockerfile").read_text().splitlines()
        assert [line for line in lines if line in {f"COPY {name} {name}" for name in packages}] == [
            f"COPY {name} {name}" for name in packages
        ]


@pytest.mark.parametrize("package", ["counterpoise", "pipelines", "service"])
def test_what_the_names_come_from_is_marked_as_typed(package: str) -> None:
    """Without the mark, mypy takes every name for Any in a user's own project."""
    assert (ROOT / package / "py.typed").is_file()


def test_nothing_heavy_is_loaded_before_something_is_made(file: Path) -> None:
    code = f"""
import sys
from counterpoise import Client, load_spec, run
load_spec({str(file)!r})
Client("http://127.0.0.1:1", "key")
print(*(name for name in {HEAVY} if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_version_is_made_in_this_process_without_a_word(
    file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    spec = load_spec(str(file))
    assert isinstance(spec, VersionSpec)
    summary = run(spec, str(tmp_path / "out"), progress=False)
    assert capfd.readouterr() == ("", "")
    assert summary == json.loads((tmp_path / "out/summary.json").read_text())
    version = load_dataset("parquet", data_files=str(tmp_path / "out/datasets/tiny/v1/data/*.parquet"), split="train")
    assert len(version) == summary["counts"]["kept"] == 3


def test_progress_is_a_line_for_each_stage_where_there_is_no_terminal(
    file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run(load_spec(file), tmp_path / "out")
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].startswith("Real images: ")
    assert any(line.startswith("generate") for line in lines)


def test_a_mistake_is_a_counterpoise_error_that_names_the_field(file: Path) -> None:
    file.write_text(yaml.safe_dump(TINY | {"amount": {"per_class": -1}}))
    with pytest.raises(CounterpoiseError, match=r"^amount\.per_class: "):
        load_spec(file)


def test_without_the_engine_run_says_what_to_install(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(CounterpoiseError, match=r"pip install 'counterpoise\[engine\]'"):
        run(load_spec(file), tmp_path / "out")


def test_a_service_that_does_not_answer_is_a_counterpoise_error() -> None:
    with Client("http://127.0.0.1:1", patience=0) as client, pytest.raises(CounterpoiseError, match="does not answer"):
        client.version("tiny", 1)
