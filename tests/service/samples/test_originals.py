"""Real images beside samples: the same bytes as in the source, whatever form it has, or why there are none. Ten seconds."""

import hashlib
from pathlib import Path
from typing import Any

import datasets
import pytest
from pydantic import TypeAdapter

from pipelines.source import single
from pipelines.source.open import open_source
from pipelines.spec import SourceSpec
from pipelines.store.object_store import Store
from service.samples.originals import Missing, original
from service.settings import Settings
from tests.source.packed import parquet, picture, tar

CLASSES = ("boot", "sneaker")
PICTURES = [(label, picture(100 * k + n)) for n in range(12) for k, label in enumerate(CLASSES)]


def rows() -> list[dict[str, Any]]:
    return [{"image": {"bytes": data, "path": None}, "label": label} for label, data in PICTURES]


def pairs() -> dict[str, bytes]:
    """As WebDataset has it: a class beside each image."""
    named = enumerate(PICTURES)
    return {
        f"{n:04d}.{kind}": data for n, (label, image) in named for kind, data in (("png", image), ("cls", label.encode()))
    }


@pytest.fixture(params=["folder", "parquet", "webdataset", "hub"])
def source(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SourceSpec:
    """The same images in each form that is read where it lies."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    home, kind = tmp_path / "images", request.param
    (home / "data").mkdir(parents=True)
    if kind == "folder":
        for n, (label, data) in enumerate(PICTURES):
            (home / label).mkdir(exist_ok=True)
            (home / label / f"{n}.png").write_bytes(data)
    elif kind == "webdataset":
        (home / "data/a.tar").write_bytes(tar(pairs()))
    else:
        (home / "data/train.parquet").write_bytes(parquet(rows(), row_group_size=5))
    return TypeAdapter[SourceSpec](SourceSpec).validate_python({"type": kind, "id" if kind == "hub" else "path": str(home)})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path / "state", source_roots=[str(tmp_path / "images")])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "store"))


def test_each_image_is_read_by_its_id(source: SourceSpec, store: Store, settings: Settings) -> None:
    items = [item for split in open_source(source, store).splits.values() for item in split]
    known = {hashlib.sha256(data).hexdigest(): data for _, data in PICTURES}
    assert {item.sha256 for item in items} == set(known)
    for item in items:
        assert original(source, item.id, item.sha256, store, settings) == known[item.sha256]


def why(source: SourceSpec, image_id: str, sha256: str, store: Store, settings: Settings) -> str:
    with pytest.raises(Missing) as error:
        original(source, image_id, sha256, store, settings)
    return str(error.value)


def test_what_is_missing_says_why(source: SourceSpec, store: Store, settings: Settings, tmp_path: Path) -> None:
    if source.type != "folder":  # which needs no index
        assert "the index of its source is not in the store any more" in why(source, "a", "0" * 64, store, settings)
    item = open_source(source, store).splits["train"][0]
    assert why(source, item.id, "0" * 64, store, settings) == "another image is in its place now"
    assert why(source, f"{item.id}-gone", item.sha256, store, settings)
    elsewhere = settings.model_copy(update={"source_roots": []})
    assert "is not allowed here" in why(source, item.id, item.sha256, store, elsewhere)
    for file in (tmp_path / "images").rglob("*.*"):
        if file.is_file():
            file.unlink()
    if source.type != "hub":  # whose copy in the cache is still there
        assert why(source, item.id, item.sha256, store, settings)


@pytest.mark.parametrize("source", ["parquet"], indirect=True)
def test_an_image_that_costs_too_much_to_read_is_not_read(
    source: SourceSpec, store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = open_source(source, store).splits["train"][0]
    with monkeypatch.context() as patched:
        patched.setattr(single, "LARGEST_GROUP", 100)
        assert "too large to be read for one image" in why(source, item.id, item.sha256, store, settings)
    monkeypatch.setattr(single, "SECONDS", 0.0)
    assert "takes longer" in why(source, item.id, item.sha256, store, settings)


@pytest.mark.parametrize("source", ["hub"], indirect=True)
def test_nothing_is_fetched_to_display_an_image(
    source: SourceSpec, store: Store, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = open_source(source, store).splits["train"][0]
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "another machine's")
    assert "is not in the cache of this machine" in why(source, item.id, item.sha256, store, settings)
