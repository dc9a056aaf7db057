"""The whole line on the bundled models, small: what comes out, and that stopping it anywhere changes nothing."""

import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import yaml
from datasets import load_dataset
from numpy.typing import NDArray
from safetensors.torch import load

from pipelines.errors import EvaluationError
from pipelines.job import Job
from pipelines.learning.resources import Resources
from pipelines.progress import Silent, Stage
from pipelines.regions import region
from pipelines.run import is_of_another, run
from pipelines.source.open import open_source
from pipelines.spec import VersionSpec, parse
from pipelines.store.object_store import Store
from pipelines.version.rows import read

SPEC: dict[str, Any] = {
    "name": "shoes",
    "source": {"type": "spurious", "train": 60, "validation": 16, "test": 16},
    "method": {
        "type": "spurious_removal",
        "superclass": "shoe",
        "inversion": {"vectors": 2, "images": 6, "steps": 4, "batch": 4, "checkpoint_every": 2},
        "majority": 10,
        "steps": 3,
    },
    "amount": {"per_class": 6},
    "shard_size": 6,
    "max_attempts": 2,
    "filters": [
        {"type": "quality"},
        {"type": "near_duplicate"},
        {"type": "label_agreement", "max_origin": 0.6},
        {"type": "attribution", "min_logits": 0.0},
    ],
    "classifier": {"steps": 10, "batch": 16},
    "evaluation": {"arms": ["erm", "text_to_image", "counterpoise", "real_balanced"], "seeds": [0], "margin": None},
}


def spec(**changes: Any) -> VersionSpec:
    return parse({**SPEC, **changes})


def tree(out: Path) -> dict[str, str]:
    """Every file but those that tell the time, by content."""
    timed = {"summary.json", "quality_report.json", "report.html", "seconds.json", "progress.safetensors"}
    files = sorted(p for p in out.rglob("*") if p.is_file() and p.name not in timed)
    return {p.relative_to(out).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    run(spec(), out, Silent())
    return out


def rows(out: Path, folder: str) -> list[dict[str, Any]]:
    found = load_dataset("parquet", data_files=str(out / f"datasets/shoes/v1/{folder}/*.parquet"), split="train")
    return [dict(row) for row in found]


def test_the_version_loads_with_hugging_face(finished: Path) -> None:
    version = load_dataset("parquet", data_files=str(finished / "datasets/shoes/v1/data/*.parquet"), split="train")
    assert version.features["label"].names == ["boot", "sneaker"]
    assert isinstance(version[0]["image"], PIL.Image.Image)
    assert version[0]["image"].size == (64, 64)


def test_what_is_written_adds_up(finished: Path) -> None:
    summary = json.loads((finished / "summary.json").read_text())
    manifest = json.loads((finished / "datasets/shoes/v1/manifest.json").read_text())
    counts = summary["counts"]
    kept, dropped = rows(finished, "data"), rows(finished, "rejected")
    assert counts == manifest["counts"]
    assert (counts["planned"], counts["kept"], counts["dropped"]) == (12, len(kept), len(dropped))
    assert counts["generated"] == counts["kept"] + counts["dropped"]
    assert sum(counts["reasons"].values()) == counts["dropped"]
    assert len({row["index"] for row in kept}) == len(kept)
    assert all(row["reason"] for row in dropped)
    assert not any(row["reason"] for row in kept)


def test_the_label_is_what_was_painted_and_the_group_is_where(finished: Path) -> None:
    """The published code stores the class that was painted over."""
    everything = rows(finished, "data") + rows(finished, "rejected")
    classes, own = ["boot", "sneaker"], {"boot": "grass", "sneaker": "brick"}
    assert Counter((classes[r["label"]], r["origin"]) for r in everything if r["attempt"] == 0) == {
        (label, origin): 3 for label in classes for origin in classes
    }
    for row in everything:
        assert f"<{classes[row['label']]}>" in row["prompt"]
        assert row["source_id"].startswith(f"train/{row['origin']}/")
        assert row["group"] in own.values()


def test_every_row_says_how_it_was_made(finished: Path) -> None:
    for row in rows(finished, "data") + rows(finished, "rejected"):
        assert row["method"] == "spurious_removal"
        assert list(load((finished / row["concept"]).read_bytes())) == [f"<{['boot', 'sneaker'][row['label']]}>"]
    files = sorted((finished / "datasets/shoes/v1/evaluation/text_to_image/data").glob("*.parquet"))
    plain = [row for file in files for row in read(file.read_bytes())]
    assert plain
    assert {(row["method"], row["concept"]) for row in plain} <= {("text_to_image", None)}


def test_the_background_is_the_sources_to_the_bit(finished: Path, tmp_path: Path) -> None:
    bench = Resources(spec(), Store.open(tmp_path), Silent())
    by_id = {item.id: item for item in bench.source.splits["train"]}
    found = rows(finished, "data") + rows(finished, "rejected")
    items = [by_id[row["source_id"]] for row in found]
    for row, item, mask in zip(found, items, bench.view.object_masks(items, "shoe"), strict=True):
        assert mask is not None
        outside = ~region(mask, "box", 0.1)
        original, made = bench.source.read(item), np.asarray(row["image"])
        assert np.array_equal(original[outside], made[outside])
        assert not np.array_equal(original, made)


def test_the_evaluation_has_every_arm_and_seed(finished: Path) -> None:
    arms = json.loads((finished / "summary.json").read_text())["arms"]
    assert list(arms) == ["counterpoise", "erm", "real_balanced", "text_to_image"]
    for arm in arms.values():
        assert len(arm["worst_group"]["values"]) == 1
        assert arm["worst_group"]["mean"] <= arm["average"]["mean"]
        assert set(arm["groups"]) == {f"{c} on {g}" for c in ("boot", "sneaker") for g in ("brick", "grass")}
    shift = json.loads((finished / "summary.json").read_text())["shift"]
    assert list(shift["arms"]) == list(arms)
    assert 0.8 < shift["intensities"][-1] < 1
    assert 'id="shift"' in (finished / "report.html").read_text()


def test_the_card_has_the_evaluation_once_it_is_there(finished: Path) -> None:
    summary = json.loads((finished / "summary.json").read_text())
    assert summary["headline"] in (finished / "card.md").read_text()
    assert summary["headline"] not in (finished / "datasets/shoes/v1/README.md").read_text()
    assert [point["share"] for point in summary["amounts"]["points"]] == [0, 1]


def test_the_manifest_names_what_is_there(finished: Path) -> None:
    root = finished / "datasets/shoes/v1"
    listed = {f["path"]: f["sha256"] for f in json.loads((root / "manifest.json").read_text())["files"]}
    assert {"spec.json", "plan.json", "quality.json", "README.md", "croissant.json"} <= listed.keys()
    for path, sha256 in listed.items():
        assert hashlib.sha256((root / path).read_bytes()).hexdigest() == sha256


def test_the_report_shows_itself(finished: Path) -> None:
    page = (finished / "report.html").read_text()
    assert page.count("<img") >= 12
    assert page.count('<svg class="map"') == 1
    quality = json.loads((finished / "quality_report.json").read_text())
    assert quality["images"]["measured"] == len(rows(finished, "data"))
    text = page.replace("\N{NO-BREAK SPACE}", " ")
    assert all(part["headline"][:20] in text for part in quality["sections"].values())
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_run_again_it_changes_nothing(finished: Path) -> None:
    before = tree(finished)
    run(spec(), finished, Silent())
    assert tree(finished) == before


def test_another_spec_in_the_same_place_is_the_next_version_and_takes_what_was_learned(
    finished: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    before, lines = tree(out), Listening()
    for _ in range(2):
        summary = run(spec(evaluation=None, filters=[{"type": "quality"}]), out, lines)
        assert summary["version"] == 2
    assert [line for line in lines.said if "Version 2" in line] == [
        "Version 2: those before it were made by other specs or from other images, and stay."
    ] * 2
    assert not [name for name in lines.stages if name.startswith("learn: token")]
    after = tree(out)
    latest = ("samples.png", "card.md")  # of the last run
    assert {name: after[name] for name in before if name not in latest} == {
        name: value for name, value in before.items() if name not in latest
    }
    assert (out / "datasets/shoes/v2/manifest.json").exists()
    reports = [(out / f"datasets/shoes/v{number}/report/report.html").read_text() for number in (1, 2)]
    assert [f">shoes, version {number}<" in reports[number - 1] for number in (1, 2)] == [True, True]
    assert (out / "report.html").read_text() == reports[1]


def test_a_version_of_another_spec_is_passed_over_also_where_its_images_are_those(finished: Path, tmp_path: Path) -> None:
    """The first has the spec, and was made from other images; the second was made from these, by another spec."""
    first, second = (tmp_path / f"datasets/shoes/v{number}" for number in (1, 2))
    shutil.copytree(finished / "datasets/shoes/v1", first)
    shutil.copytree(first, second)
    (second / "spec.json").write_text(json.dumps(spec(seed=9).model_dump(mode="json")))
    plan = json.loads((first / "plan.json").read_text())
    (first / "plan.json").write_text(json.dumps({**plan, "source": "of before"}))
    store = Store.open(tmp_path)
    taken = [is_of_another(store, Job(spec(), store, Silent(), number)) for number in (1, 2, 3)]
    assert taken == [True, True, False]


def test_a_failed_evaluation_loses_nothing_and_is_tried_again(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    for file in (*(out / "datasets/shoes/v1").glob("evaluation*"), out / "report.html"):
        shutil.rmtree(file) if file.is_dir() else file.unlink()
    with monkeypatch.context() as patch:
        patch.setattr("pipelines.job.evaluate", lambda evaluator: 1 / 0)
        with pytest.raises(
            EvaluationError, match=r"is published in .*, but not evaluated: ZeroDivisionError: .*tries it again"
        ):
            run(spec(), out, Silent())
    assert "The evaluation failed: ZeroDivisionError" in (out / "report.html").read_text()
    root = out / "datasets/shoes/v1"
    card = (root / "README.md").read_text()
    assert "`evaluation.json` beside this card" in card
    assert "`report/report.html`" in card
    assert not (root / "evaluation.json").exists()
    run(spec(), out, Silent())
    assert tree(out) == tree(finished)
    assert json.loads((root / "evaluation.json").read_text())["arms"]
    assert "The evaluation failed" not in (root / "report/report.html").read_text()


class Listening(Silent):
    """Progress that remembers what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.stages: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def stage(self, name: str, total: int) -> Stage:
        self.stages.append(name)
        return super().stage(name, total)


class Killed(BaseException):
    pass


class Deadly(Silent):
    """Progress that kills whoever reports the n-th time."""

    def __init__(self, after: int) -> None:
        self.left = after

    def stage(self, name: str, total: int) -> Stage:
        def done(count: int) -> None:
            self.left -= 1
            if self.left == 0:
                raise Killed(name)

        return done


@pytest.mark.parametrize("after", [3, 13, 19, 22, 40])
def test_stopped_anywhere_it_ends_with_the_same_bytes(after: int, finished: Path, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        run(spec(), tmp_path, Deadly(after))
    assert not (tmp_path / "summary.json").exists()
    run(spec(), tmp_path, Silent())
    assert tree(tmp_path) == tree(finished)


def killed(folder: Path, sign: str) -> Path:
    """The folder of a run that was killed once there was such a file, and then run again."""
    file, out = folder / "spec.yaml", folder / "out"
    file.write_text(yaml.safe_dump(SPEC))
    command = [sys.executable, "-m", "service.cli", "run", str(file), "--out", str(out)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=os.environ | {"HF_HUB_OFFLINE": "1"}) as process:
        deadline = time.monotonic() + 120
        while not list(out.glob(sign)) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    assert not (out / "summary.json").exists()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return out


def test_killed_while_it_learns_it_ends_with_the_same_bytes(finished: Path, tmp_path: Path) -> None:
    assert tree(killed(tmp_path, "concepts/token/*/progress.safetensors")) == tree(finished)


def test_killed_while_it_generates_it_ends_with_the_same_images_up_to_rounding(finished: Path, tmp_path: Path) -> None:
    """The second shard has no longer the first one's images beside it in the batch."""
    ours, theirs = (samples(out) for out in (killed(tmp_path, "datasets/shoes/v1/reports/00000.json"), finished))
    assert ours.keys() == theirs.keys()
    for place, (image, rest) in ours.items():
        assert rest == theirs[place][1]
        assert np.abs(image - theirs[place][0]).max() <= 2


def samples(out: Path) -> dict[tuple[str, int, int], tuple[NDArray[np.float64], dict[str, Any]]]:
    """The kept and rejected images of version 1, as numbers, and what else is known of them but their scores."""
    found = {}
    for kind in ("data", "rejected"):
        for file in (out / "datasets/shoes/v1" / kind).glob("*.parquet"):
            for row in read(file.read_bytes()):
                image = np.asarray(PIL.Image.open(io.BytesIO(row.pop("image"))), np.float64)
                row.pop("scores")
                found[kind, row["index"], row["attempt"]] = image, row
    return found


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of one's own, with one broken image."""
    folder, source = tmp_path_factory.mktemp("mine"), open_source(spec().source)
    for split in ("train", "validation", "test"):
        for item in source.splits[split]:
            path = folder / item.id
            path.parent.mkdir(parents=True, exist_ok=True)
            PIL.Image.fromarray(source.read(item)).resize((96, 80)).save(path.with_suffix(".jpg"))
    (folder / "train/boot/broken.jpg").write_bytes(b"no image")
    return folder


def test_an_image_folder_of_ones_own(photos: Path, tmp_path: Path) -> None:
    mine = {"type": "folder", "path": str(photos)}
    small = {"arms": ["erm", "counterpoise"], "seeds": [0]}
    summary = run(spec(source=mine, evaluation=small), tmp_path / "out", Silent())
    assert summary["gap_closed"] is None
    assert set(summary["arms"]["erm"]["groups"]) == {"boot", "sneaker"}
    problems = json.loads((tmp_path / "out/datasets/shoes/v1/quality.json").read_text())["problems"]
    assert "train/boot/broken.jpg" in [problem["id"] for problem in problems]


def test_without_a_terminal_each_stage_is_a_line_and_whoever_stops_it_is_told_to_go_on(photos: Path, tmp_path: Path) -> None:
    mine = {"source": {"type": "folder", "path": str(photos)}, "evaluation": None}
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump({**SPEC, **mine}))
    command = [sys.executable, "-m", "service.cli", "run", "spec.yaml", "--out", "out"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(Path(__file__).parents[1])}

    def interruptible() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell starts what it puts into the background with it ignored

    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, text=True, preexec_fn=interruptible,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line.rstrip())
            if line.startswith("learn: "):
                process.send_signal(signal.SIGINT)
                break
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert said.strip() == "Stopped. The same command again goes on where it was."
    assert lines.pop(0) == "index: files: 93"
    assert lines[0].startswith("Real images: 30 boot, 30 sneaker; 16 for validation, 16 for test; 1 cannot be used.")
    assert lines[1].startswith("  train/boot/broken.jpg: not a readable")
    assert re.fullmatch(r"learn: .*: \d+", lines[-1])


def test_png_in_the_parquet_is_marked_as_generated(finished: Path) -> None:
    file = next((finished / "datasets/shoes/v1/data").glob("*.parquet"))
    from pipelines.version.rows import read

    with PIL.Image.open(io.BytesIO(read(file.read_bytes())[0]["image"])) as image:
        assert "trainedAlgorithmicMedia" in str(image.info)
