"""`counterpoise inspect`: every form of source, its exit codes, and what it writes. Fifteen seconds."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from service.cli.inspect import source_named
from tests.inspection.planted import clean, reencoded, written
from tests.service.cli.commands import call


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built-in images, one of them a leak."""
    root = written(tmp_path_factory.mktemp("inspect") / "shoes", clean(40))
    (root / "test/sneaker/leak.jpg").write_bytes(reencoded(root / "train/sneaker/00001.png"))
    return root


@pytest.fixture(scope="module")
def expected(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What is found in the folder."""
    out = tmp_path_factory.mktemp("expected")
    assert call("inspect", folder, "--out", out).exit_code == 0
    document: dict[str, Any] = json.loads((out / "inspect.json").read_text())
    return document


def rows(folder: Path) -> list[dict[str, object]]:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return [{"image": {"bytes": f.read_bytes(), "path": None}, "label": f.parent.name, "split": f.parts[-3]} for f in files]


def parquet(folder: Path, root: Path, readme: str = "") -> Path:
    (root / "data").mkdir(parents=True)
    for split in ("train", "validation", "test"):
        part = [{"image": row["image"], "label": row["label"]} for row in rows(folder) if row["split"] == split]
        pq.write_table(pa.Table.from_pylist(part), root / f"data/{split}-00000-of-00001.parquet")
    if readme:
        (root / "README.md").write_text(readme)
    return root


def tars(folder: Path, root: Path) -> Path:
    root.mkdir()
    for split in ("train", "validation", "test"):
        with tarfile.open(root / f"{split}-000.tar", "w") as archive:
            for number, row in enumerate(row for row in rows(folder) if row["split"] == split):
                image = row["image"]
                assert isinstance(image, dict)
                for suffix, data in (("png", image["bytes"]), ("cls", str(row["label"]).encode())):
                    member = tarfile.TarInfo(f"{number:04d}.{suffix}")
                    member.size = len(data)
                    archive.addfile(member, io.BytesIO(data))
    return root


README = """---
configs:
- config_name: default
  data_files:
  - {split: train, path: data/train-*}
  - {split: validation, path: data/validation-*}
  - {split: test, path: data/test-*}
---
"""


def test_a_leak_is_named_written_and_fails_where_it_is_to(folder: Path, tmp_path: Path) -> None:
    done = call("inspect", folder, "--out", tmp_path / "out", "--fail-on", "labels,leaks")
    assert done.exit_code == 1, done.output
    assert "leaks " in done.stdout
    assert "test:test/sneaker/leak.jpg" in done.stdout
    document = json.loads((tmp_path / "out/inspect.json").read_text())
    assert document["counts"]["leaks"] == 1
    (leak,) = document["findings"]["leaks"]
    assert [image["split"] for image in leak["images"]] == ["train", "test"]
    assert (tmp_path / "out/inspect.html").read_text().count("test/sneaker/leak.jpg") >= 1


@pytest.mark.parametrize("form", ["parquet", "pattern", "tar", "hub", "spec"])
def test_it_is_the_same_in_every_form(
    folder: Path, expected: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    match form:
        case "parquet":
            name, kind = str(parquet(folder, tmp_path / "shoes")), "parquet"
        case "pattern":
            name, kind = str(parquet(folder, tmp_path / "shoes") / "data/*.parquet"), "parquet"
        case "tar":
            name, kind = str(tars(folder, tmp_path / "shoes")), "webdataset"
        case "hub":
            name, kind = str(parquet(folder, tmp_path / "shoes", README)), "hub"
        case _:
            file = tmp_path / "shoes.yaml"
            method, amount = {"type": "text_to_image"}, {"per_class": 2}
            source = {"type": "folder", "path": str(folder)}
            file.write_text(yaml.safe_dump({"name": "shoes", "source": source, "method": method, "amount": amount}))
            name, kind = str(file), "folder"
    assert source_named(name)[0].type == kind
    done = call("inspect", name, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    document = json.loads((tmp_path / "out/inspect.json").read_text())
    assert document["counts"]["leaks"] == 1
    assert document["settings"]["out_of_fold_accuracy"] == expected["settings"]["out_of_fold_accuracy"]
    assert [finding["text"] for finding in document["findings"]["labels"]] == [
        finding["text"] for finding in expected["findings"]["labels"]
    ]
    assert document["classes"]["sneaker"] == {"train": 40, "validation": 10, "test": 21}


def test_what_cannot_be_inspected_is_refused_in_a_line(folder: Path, tmp_path: Path) -> None:
    for arguments, message in (
        ((tmp_path / "none",), "SOURCE: there is no"),
        ((folder, "--fail-on", "leeks"), "--fail-on: there is no kind 'leeks'; give some of leaks, conflicts"),
        ((folder, "--features", tmp_path), "--features: "),
        (("https://example.com/a.tar",), "SOURCE: is no folder; give a local path"),
        ((folder, "--out", folder / "test/sneaker/leak.jpg"), "--out: "),
    ):
        done = call("inspect", *arguments)
        assert (done.exit_code, done.stderr.count("\n")) == (2, 1), done.output
        assert message in done.stderr
