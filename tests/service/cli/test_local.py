"""Commands that need no service: what they refuse, and that nothing is overwritten."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.spec.helpers import FROM_SCRATCH
from tests.service.cli.commands import call, photographs, written


def test_a_source_that_cannot_be_opened_ends_with_2_and_the_remedy(tmp_path: Path) -> None:
    source = {"type": "folder", "path": "photos"}
    done = call("run", written(tmp_path, source=source), "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert f"source.path: {tmp_path / 'photos'} is not a folder; give one that holds <class>/" in done.stderr


def test_an_output_that_is_no_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    found = call("run", written(tmp_path), "--out", tmp_path / "file")
    assert found.exit_code == 2
    assert "cannot be a folder" in found.stderr


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


def test_a_class_that_falls_short_is_named_with_the_filter_that_dropped_most(tmp_path: Path, tiny_checkpoint: Path) -> None:
    spec = written(
        tmp_path,
        models={"text_to_image": str(tiny_checkpoint)},
        method={"type": "text_to_image", "steps": 1},
        amount={"per_class": 1},
        max_attempts=2,
        filters=[{"type": "label_agreement", "min_target": 1}],
    )
    done = call("run", spec, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    line = "boot: 0 of 1 kept; label_agreement dropped 2 candidates"
    assert f"  {line}\n" in done.stdout
    assert f"- {line}\n" in (tmp_path / "out/datasets/shoes/v1/README.md").read_text()
    assert f">{line}<" in (tmp_path / "out/report.html").read_text()


@pytest.mark.parametrize(
    "changes",
    [
        {"method": {"type": "spurious_removal", "superclass": "dress"}},
        {
            "method": {"type": "text_to_image", "superclass": "dress"},
            "filters": [{"type": "attribution"}, {"type": "label_agreement", "view": "object"}],
        },
    ],
    ids=["the method repaints it", "a filter looks at it"],
)
def test_a_superclass_that_is_seen_nowhere_is_found_before_anything_is_trained(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    spec = written(tmp_path, models={}, **changes)
    refused = call("run", spec, "--out", tmp_path / "out")
    assert refused.exit_code == 2
    line = "the segmenter 'builtin' looked at 20 images of class 'boot' and found no 'dress'; choose another"
    assert line in refused.stderr
    assert "'cross-attention', which needs no second model" in refused.stderr
    assert not list((tmp_path / "out").rglob("*.safetensors"))
    assert refused.stdout.splitlines()[-2:] == ["look for the objects: 2", "segment: dress: 32"]


def test_a_classifier_from_scratch_on_photographs_is_warned_of_everywhere(tmp_path: Path, tiny_checkpoint: Path) -> None:
    spec = written(
        tmp_path,
        source=photographs(tmp_path),
        models={"text_to_image": str(tiny_checkpoint)},
        method={"type": "text_to_image", "steps": 1},
        amount={"per_class": 1},
        filters=[{"type": "label_agreement", "min_target": 0}],
    )
    checked = call("validate", spec)
    assert checked.exit_code == 0, checked.stderr
    done = call("run", spec, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    for text in (checked.stdout, done.stdout):
        assert text.count(f"Warning: {FROM_SCRATCH}") == 1
    card = (tmp_path / "out/datasets/shoes/v1/README.md").read_text()
    assert f"- {FROM_SCRATCH}\n" in card
    assert FROM_SCRATCH in (tmp_path / "out/report.html").read_text()


def test_a_forecast_is_said_and_written(tmp_path: Path, tiny_checkpoint: Path) -> None:
    models = {"text_to_image": str(tiny_checkpoint), "resolution": 32}
    spec = written(tmp_path, models=models, method={"type": "text_to_image", "steps": 1})
    done = call("forecast", spec, "--json", tmp_path / "out.json")
    assert done.exit_code == 0, done.output
    document = json.loads((tmp_path / "out.json").read_text())
    assert document["text"] in done.stdout
    assert document["direction"] in ("gain", "loss", "unclear")
    assert document["average"]["low"] <= document["average"]["high"]
