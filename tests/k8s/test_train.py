"""The training job's script, started as its manifest starts it, on a version in a folder."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import safe_open

from pipelines.learning.resources import Resources
from pipelines.store import keys
from pipelines.store.canonical import canonical
from tests.builders import open_resources
from tests.k8s.manifests import ROOT, named, template
from tests.version.test_finalize import finalized

SCRIPT = ROOT / "k8s/jobs/train.py"


@pytest.fixture
def version(tiny_checkpoint: Path, tmp_path: Path) -> Resources:
    models = {"text_to_image": str(tiny_checkpoint)}
    made = open_resources(tmp_path / "store", models=models, amount={"per_class": 6}, shard_size=5, filters=[])
    finalized(made)
    return made


def train(version: Resources, folder: Path) -> subprocess.CompletedProcess[str]:
    (container,) = template(named("jobs", "Job", "train-shoes-v1"))["spec"]["containers"]
    assert container["command"][-1] == f"/job/{SCRIPT.name}"
    address, *options = container["args"]
    assert address.endswith(version.root)
    options[options.index("--epochs") + 1] = "2"
    options[options.index("--out") + 1] = str(folder / "out")
    command = [sys.executable, str(SCRIPT), str(folder / "store" / version.root), *options]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    )


def test_it_sees_each_image_of_the_manifest_once_an_epoch_and_keeps_the_model(version: Resources, tmp_path: Path) -> None:
    done = train(version, tmp_path)
    assert done.returncode == 0, done.stderr
    kept = version.store.json(keys.manifest(version.root))["counts"]["kept"]
    epochs = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(each["epoch"], each["images"]) for each in epochs] == [(0, kept), (1, kept)]
    with safe_open(tmp_path / "out/model.safetensors", "pt") as model:
        assert json.loads(model.metadata()["classes"]) == list(version.source.classes)
        assert model.get_tensor("5.weight").shape[0] == len(version.source.classes)


def test_a_version_that_is_not_as_its_manifest_says_is_not_trained_on(version: Resources, tmp_path: Path) -> None:
    version.store.delete(keys.data(version.root, 1, 3))
    done = train(version, tmp_path)
    assert done.returncode != 0
    assert "data/train-00001-of-00003.parquet: is not as the manifest says" in done.stderr
    assert not (tmp_path / "out").exists()


def test_what_was_carried_over_is_read_where_it_lies(version: Resources, tmp_path: Path) -> None:
    manifest = version.store.json(keys.manifest(version.root))
    carried = next(each for each in manifest["files"] if each["path"].startswith("data/"))
    carried["key"] = "datasets/shoes/v0/data/train-00000-of-00009.parquet"
    version.store.put(carried["key"], version.store.get(f"{version.root}/{carried['path']}"))
    version.store.delete(f"{version.root}/{carried['path']}")
    version.store.put(keys.manifest(version.root), canonical(manifest))
    done = train(version, tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[0])["images"] == manifest["counts"]["kept"]
