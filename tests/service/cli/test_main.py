"""The `counterpoise` command: what it prints, where, and with which exit code."""

import json
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
import yaml
from typer.testing import CliRunner, Result

from pipelines.spec import Arm, parse
from service.cli import app
from service.cli.output import ARMS
from service.cli.specs import EXAMPLES
from tests.benches import document, noise

ROOT = Path(__file__).parents[3]


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments])


def written(folder: Path, **changes: Any) -> Path:
    file = folder / "spec.yaml"
    file.write_text(yaml.safe_dump(document(**changes)))
    return file


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_printed_as_a_spec_that_is_valid(name: str, tmp_path: Path) -> None:
    done = call("example", name)
    assert done.exit_code == 0
    spec = parse(yaml.safe_load(done.stdout))
    (tmp_path / "spec.yaml").write_text(done.stdout)
    checked = call("validate", tmp_path / "spec.yaml")
    assert checked.exit_code == 0
    images, said, planned = checked.stdout.splitlines()
    assert said == f"{spec.name}: {spec.method.type}, {spec.amount}. The spec is valid."
    assert images.endswith("; 0 cannot be used.")
    assert planned.startswith("To be made: ")


def test_the_images_of_a_folder_are_looked_at_and_the_bad_ones_named(tmp_path: Path) -> None:
    for label in ("boot", "shoe"):
        for split in ("train", "validation", "test"):
            (tmp_path / "images" / split / label).mkdir(parents=True)
            for number in range(9):
                pixels = noise(zlib.crc32(f"{split}{label}{number}".encode()))
                PIL.Image.fromarray(pixels).save(tmp_path / "images" / split / label / f"{number}.png")
    (tmp_path / "images/train/boot/10.png").write_text("no image")
    done = call("validate", written(tmp_path, source={"type": "folder", "path": "images"}, amount={"multiply": 2}))
    assert done.exit_code == 0, done.stderr
    images, bad, _, planned = done.stdout.splitlines()
    assert images == "Real images: 9 boot, 9 shoe; 18 for validation, 18 for test; 1 cannot be used."
    assert bad.startswith("  train/boot/10.png: ")
    assert planned == "To be made: 36 images in 1 shards."


def test_an_amount_that_means_nothing_is_found_before_anything_is_made(tmp_path: Path) -> None:
    done = call("validate", written(tmp_path, amount={"balance": "classes"}))
    assert done.exit_code == 2
    assert "amount: there is nothing to make" in done.stderr


def test_an_unknown_example_names_those_there_are() -> None:
    done = call("example", "nothing")
    assert done.exit_code == 2
    assert done.stdout == ""
    assert "'nothing' does not exist; there are spurious, few-shot, long-tail" in done.stderr


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


def test_a_file_that_is_not_there_is_named_unbroken(tmp_path: Path) -> None:
    missing = tmp_path / ("long " * 30) / "spec.yaml"
    done = call("validate", missing)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"{missing}: cannot be read")
    assert len(done.stderr.splitlines()) == 1


def test_square_brackets_in_a_message_are_no_markup(tmp_path: Path) -> None:
    done = call("validate", written(tmp_path, name="[red]"))
    assert "'[red]'" in done.stderr


def test_a_source_that_cannot_be_opened_ends_with_2_and_the_remedy(tmp_path: Path) -> None:
    source = {"type": "folder", "path": "photos"}
    done = call("run", written(tmp_path, source=source), "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert f"source.path: {tmp_path / 'photos'} is not a folder; give one that holds <class>/" in done.stderr


def test_a_version_that_is_there_already_is_not_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "out/datasets/shoes/v1"
    folder.mkdir(parents=True)
    (folder / "spec.json").write_text("{}")
    (folder / "reports").mkdir()
    (folder / "reports/00000.json").write_text("{}")
    done = call("run", written(tmp_path), "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "A version never changes: choose another output" in done.stderr
    assert (folder / "spec.json").read_text() == "{}"


def test_every_arm_has_a_name_in_the_table() -> None:
    assert set(ARMS) == set(Arm.__args__)  # type: ignore[attr-defined]


def test_the_command_runs_as_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "service.cli", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert {"example", "run", "validate"} <= set(done.stdout.replace("│", " ").split())


def test_without_a_command_it_shows_its_help() -> None:
    assert "Usage:" in call().output


def test_the_schema_has_every_field_with_its_meaning() -> None:
    found = json.loads(call("schema").stdout)
    assert found["properties"]["amount"]["description"]
    assert "balance" in found["$defs"]["Amount"]["properties"]
    assert found["$defs"]["SpuriousRemoval"]["properties"]["objects"]["enum"] == ["painted", "real", "both"]


def test_keys_of_a_service_that_never_was_say_where_to_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = call("keys", "list")
    assert done.exit_code == 2
    assert done.stderr.startswith("COUNTERPOISE_STATE_DIR: there is no folder .counterpoise")


def test_the_database_is_migrated_up_and_down_by_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERPOISE_STATE_DIR", str(tmp_path))
    for asked, there in (([], "0003"), (["--to", "0001"], "0001"), (["--to", "head"], "0003")):
        assert call("migrate", *asked).stdout == f"the database is at revision {there}\n"
    done = call("migrate", "--to", "7")
    assert done.exit_code == 2
    assert "revision '7' of the database is not known here; known are base, 0001, 0002, 0003" in done.stderr


def test_validate_says_what_the_source_lacks(tmp_path: Path) -> None:
    for start, label in ((0, "boot"), (100, "sneaker")):
        folder = tmp_path / "shoes/train" / label
        folder.mkdir(parents=True)
        for n in range(4):
            PIL.Image.fromarray(noise(start + n)).save(folder / f"{n}.png")
    found = call("validate", written(tmp_path, source={"type": "folder", "path": str(tmp_path / "shoes")}, evaluation={}))
    assert found.exit_code == 2
    assert "no validation images to evaluate with" in found.stderr
    assert "The spec is valid" not in found.stdout


def test_a_setting_that_cannot_be_read_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERPOISE_SOURCE_ROOTS", "/x")
    found = call("keys", "list")
    assert found.exit_code == 2
    assert "lists as JSON" in found.stderr


def test_a_key_of_other_characters_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERPOISE_KEY", "é")
    found = call("list")
    assert found.exit_code == 2
    assert "COUNTERPOISE_KEY: holds characters that no key has" in found.stderr


def test_an_output_that_is_no_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    found = call("run", written(tmp_path), "--out", tmp_path / "file")
    assert found.exit_code == 2
    assert "cannot be a folder" in found.stderr


def test_a_spec_is_written_as_it_is_sent_over_http(tmp_path: Path) -> None:
    spec = written(tmp_path)
    assert call("validate", spec, "--json", tmp_path / "spec.json").exit_code == 0
    assert parse(json.loads((tmp_path / "spec.json").read_text())) == parse(document())
    refused = call("validate", spec, "--json", tmp_path / "no" / "spec.json")
    assert refused.exit_code == 2
    assert "cannot be written" in refused.stderr


def test_the_bench_says_at_once_that_its_results_cannot_be_written(tmp_path: Path) -> None:
    refused = call("bench", "methods", "--json", tmp_path / "no" / "out.json", "--out", tmp_path / "out")
    assert refused.exit_code == 2
    assert "--json: " in refused.stderr
    assert not (tmp_path / "out").exists()


def test_a_bench_that_cannot_be_run_leaves_the_results_of_an_earlier_one(tmp_path: Path) -> None:
    (tmp_path / "out.json").write_text("of yesterday")
    refused = call("bench", "methods", "--json", tmp_path / "out.json", "--out", tmp_path / "out", "--only", "nothing")
    assert refused.exit_code == 2
    assert (tmp_path / "out.json").read_text() == "of yesterday"


def test_a_schedule_that_cannot_be_read_is_refused_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COUNTERPOISE_URL", "http://127.0.0.1:9")  # where nobody listens
    refused = call("schedule", written(tmp_path), "--cron", "every day")
    assert refused.exit_code == 2
    assert "cron: 'every day' cannot be read" in refused.stderr.replace("\n", " ")
