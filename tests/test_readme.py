"""Every command and every spec in the README is tried."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from pipelines.filters import FILTERS
from pipelines.methods import METHODS
from pipelines.spec import SpuriousSource, parse
from service.cli import app
from service.settings import Settings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("block", blocks("yaml"))
def test_every_spec_is_valid(block: str) -> None:
    parse(yaml.safe_load(block))


def test_every_form_of_source_is_valid_and_there() -> None:
    forms = [yaml.safe_load(form) for form in re.findall(r"^\| `(\{type: .*?\})` \|", README, re.MULTILINE)]
    for form in forms:
        parse({"name": "shoes", "source": form, "method": {"type": "text_to_image"}, "amount": {"total": 1}})
    assert {form["type"] for form in forms} == {"folder", "parquet", "webdataset", "hub"}


def test_every_make_command_is_a_target() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    asked = set(re.findall(r"make (demo|test|install|[a-z]+)\b(?=[`\s]+(?:#|does|\n))", README))
    assert {"demo", "test", "install"} <= asked <= targets


def test_every_counterpoise_command_exists() -> None:
    for line in (line for block in blocks("bash") for line in block.splitlines() if line.startswith("counterpoise ")):
        command = line.split()[1]
        assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0, line


def test_the_other_pair_is_the_same_spec_with_other_classes_and_scenes() -> None:
    """The README's own `sed` changes those two and nothing else."""
    (line,) = (line for block in blocks("bash") for line in block.splitlines() if "| sed" in line)
    first = CliRunner().invoke(app, ["example", "spurious"]).stdout
    command = re.sub(r"^counterpoise example spurious \| |> other.yaml$", "", line)
    changed = subprocess.run(["bash", "-c", command], input=first, capture_output=True, text=True, check=True).stdout
    mine, other = (parse(yaml.safe_load(text)) for text in (first, changed))
    assert isinstance(other.source, SpuriousSource)
    assert (other.source.classes, other.source.scenes) == (("sandal", "boot"), ("wood", "snow"))
    assert other.model_copy(update={"source": mine.source}) == mine


def test_every_setting_is_in_the_table_as_it_is() -> None:
    for name, field in Settings.model_fields.items():
        default = field.default if field.default not in ("", []) else "[]" if field.default == [] else ""
        shown = f"`{default}`" if default != "" else ""
        row = " | ".join(filter(None, (f"| `COUNTERPOISE_{name.upper()}`", shown or None)))
        assert any(line.startswith(row) and line.endswith(f"| {field.description} |") for line in README.splitlines()), (
            f"{row} ... {field.description}"
        )


def test_every_method_and_filter_has_its_line() -> None:
    for name in (*METHODS, *FILTERS):
        assert f"| `{name}` |" in README


def test_every_path_it_names_is_there() -> None:
    for path in (
        *re.findall(r"\]\(([^)#]+)\)", README),
        *re.findall(r"`((?:pipelines|service|workers|docker|k8s)/[^`]*)`", README),
    ):
        assert (ROOT / path).exists(), path


def test_every_file_that_docker_and_kubectl_are_given_is_there() -> None:
    lines = [line for block in blocks("bash") for line in block.splitlines() if "docker " in line or "kubectl " in line]
    files = re.findall(r" -[fk] (\S+)", "\n".join(lines))
    assert {"docker/compose.yaml", "k8s/overlays/dev", "k8s/overlays/prod"} <= set(files)
    assert [file for file in files if not (ROOT / file).exists()] == []
