"""The rows of a version, as Hugging Face's own loader sees them."""

import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import PIL.Image
import pytest

from pipelines.errors import SourceError
from pipelines.learning.resources import Resources
from pipelines.records import Graft, Item, Sample, Verdict
from pipelines.report.card import COLUMNS
from pipelines.source.open import open_source
from pipelines.source.synthetic_mark import is_synthetic
from pipelines.spec import FolderSource
from pipelines.version import rows
from tests.builders import candidate, noise, open_resources

ORIGIN = Item("train/sneaker/00007.png", "ab" * 32, "sneaker", "brick")
REPAINTED = candidate(
    noise(1), index=4, attempt=2, seed=2**62 + 1, source=ORIGIN, image=noise(2), prompt="a photo of a <boot> shoe",
    method="spurious_removal", concept="concepts/token/0123/learned_embeds.safetensors",
    strength=0.75, guidance=4.5, steps=15,
    graft=Graft(Item("train/boot/00001.png", "cd" * 32, "boot", "grass"), noise(4), np.ones((32, 32), dtype=np.bool_)),
)  # fmt: skip
FROM_NOTHING = candidate(noise(3), index=5, label="sneaker")
SAMPLES = [
    Sample(REPAINTED, Verdict({"quality.contrast": 0.25})),
    Sample(FROM_NOTHING, Verdict({"quality.contrast": 0.01}, "quality: blank")),
]


@pytest.fixture(scope="module")
def resources(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Resources:
    models = {"text_to_image": str(tiny_checkpoint)}
    return open_resources(tmp_path_factory.mktemp("store"), models=models)


def loaded(folder: Path, data: bytes, **options: Any) -> Any:
    (folder / "part.parquet").write_bytes(data)
    return datasets.load_dataset(
        "parquet", data_files=str(folder / "part.parquet"), split="train", cache_dir=str(folder / "cache"), **options
    )


def test_hugging_face_loads_images_classes_and_provenance(resources: Resources, tmp_path: Path) -> None:
    table = loaded(tmp_path, rows.encode(SAMPLES, resources))
    assert isinstance(table.features["image"], datasets.Image)
    assert table.features["label"] == datasets.ClassLabel(names=["boot", "sneaker"])
    assert np.array_equal(np.asarray(table[0]["image"]), REPAINTED.image)
    expected = {
        "index": 4, "attempt": 2, "seed": 2**62 + 1, "origin": "sneaker", "source_id": ORIGIN.id,
        "source_sha256": ORIGIN.sha256, "object_id": "train/boot/00001.png", "method": "spurious_removal",
        "prompt": "a photo of a <boot> shoe",
        "concept": "concepts/token/0123/learned_embeds.safetensors",
        "strength": 0.75, "guidance": 4.5, "steps": 15, "model": resources.spec.models.text_to_image,
        "revision": resources.models.revision, "scores": '{"quality.contrast": 0.25}', "reason": None,
    }  # fmt: skip
    assert {name: table[0][name] for name in expected} == expected


def test_the_label_is_the_class_that_was_painted_and_the_group_the_sources(resources: Resources, tmp_path: Path) -> None:
    table = loaded(tmp_path, rows.encode(SAMPLES, resources))
    assert [table.features["label"].int2str(row["label"]) for row in table] == ["boot", "sneaker"]
    assert [row["group"] for row in table] == ["brick", None]
    assert [row["origin"] for row in table] == ["sneaker", None]


def test_streaming_gives_the_same_rows(resources: Resources, tmp_path: Path) -> None:
    data = rows.encode(SAMPLES, resources)
    streamed = list(loaded(tmp_path, data, streaming=True))
    assert [row["index"] for row in streamed] == [4, 5]
    assert np.array_equal(np.asarray(streamed[1]["image"]), FROM_NOTHING.image)


def test_the_columns_are_those_of_the_card(resources: Resources) -> None:
    assert list(rows.features(["boot"])) == list(COLUMNS)


def test_what_is_written_is_read_and_a_reason_says_that_it_was_dropped(resources: Resources) -> None:
    kept, dropped = rows.read(rows.encode(SAMPLES, resources))
    assert kept["reason"] is None
    assert dropped["reason"] == "quality: blank"
    assert json.loads(dropped["scores"]) == {"quality.contrast": 0.01}
    with PIL.Image.open(io.BytesIO(kept["image"])) as image:
        assert np.array_equal(np.asarray(image), REPAINTED.image)


def test_the_same_samples_are_the_same_bytes(resources: Resources) -> None:
    assert rows.encode(SAMPLES, resources) == rows.encode(list(SAMPLES), resources)
    other = Sample(replace(REPAINTED, image=noise(9)), SAMPLES[0].verdict)
    assert rows.encode([other], resources) != rows.encode(SAMPLES[:1], resources)


@pytest.mark.parametrize("empty", [0, 1], ids=["first", "second"])
@pytest.mark.parametrize("streaming", [False, True], ids=["at once", "streaming"])
def test_a_shard_without_samples_does_not_keep_the_others_from_loading(
    resources: Resources, tmp_path: Path, empty: int, streaming: bool
) -> None:
    """Most shards of `rejected/` may be empty."""
    parts = [rows.encode([] if n == empty else SAMPLES, resources) for n in range(2)]
    assert rows.read(parts[empty]) == []
    for n, part in enumerate(parts):
        (tmp_path / f"{n}.parquet").write_bytes(part)
    table = datasets.load_dataset(
        "parquet", data_files=str(tmp_path / "*.parquet"), split="train", cache_dir=str(tmp_path / "c"), streaming=streaming
    )
    assert [row["index"] for row in table] == [4, 5]
    assert table.features == rows.features(["boot", "sneaker"])


def test_its_images_are_marked_and_refused_as_a_real_source(resources: Resources, tmp_path: Path) -> None:
    for i, row in enumerate(rows.read(rows.encode(SAMPLES, resources))):
        with PIL.Image.open(io.BytesIO(row["image"])) as image:
            assert is_synthetic(image)
        folder = tmp_path / "train" / ("boot", "sneaker")[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i}.png").write_bytes(row["image"])
    with pytest.raises(SourceError, match="needs at least 2 classes with readable training images, and has 0"):
        open_source(FolderSource(type="folder", path=str(tmp_path), max_problems=1))
    taken = open_source(FolderSource(type="folder", path=str(tmp_path), allow_synthetic=True))
    assert {item.sha256 for item in taken.splits["train"]} == {
        hashlib.sha256(row["image"]).hexdigest() for row in rows.read(rows.encode(SAMPLES, resources))
    }
