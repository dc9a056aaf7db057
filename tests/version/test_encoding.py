"""Versions in every encoding: made, loaded, evaluated, and refused as a real source. Three seconds."""

import io
from pathlib import Path
from typing import Any, get_args

import datasets
import numpy as np
import PIL.Image
import pytest

from pipelines.errors import SourceError, SpecError
from pipelines.progress import Silent
from pipelines.run import run
from pipelines.source.decode import media_type
from pipelines.source.encode import encode
from pipelines.source.open import open_source
from pipelines.source.synthetic_mark import is_synthetic, png
from pipelines.spec import EncodingSpec, FolderSource, JpegEncoding, PngEncoding, WebpEncoding, parse
from pipelines.store.object_store import Store
from pipelines.version import rows
from pipelines.version.plan import read_plan
from tests.builders import document, noise, picture, spec

SMALL: dict[str, Any] = {
    "method": {"type": "text_to_image", "steps": 2},
    "amount": {"per_class": 4},
    "max_attempts": 1,
    "filters": [{"type": "quality"}],
    "evaluation": {"arms": ["erm", "counterpoise"], "seeds": [0]},
}
ENCODINGS = [PngEncoding(type="png"), WebpEncoding(type="webp"), JpegEncoding(type="jpeg", quality=90)]


def test_every_encoding_is_tested() -> None:
    assert {type(encoding) for encoding in ENCODINGS} == set(get_args(get_args(EncodingSpec)[0]))


@pytest.mark.parametrize("encoding", ENCODINGS, ids=str)
def test_an_encoded_image_is_marked_and_the_same_every_time(encoding: EncodingSpec) -> None:
    data = encode(noise(1), encoding)
    assert data == encode(noise(1), encoding) != encode(noise(2), encoding)
    assert media_type(data) == f"image/{encoding.type}"
    with PIL.Image.open(io.BytesIO(data)) as image:
        assert image.format == encoding.type.upper()
        assert is_synthetic(image)
        assert np.array_equal(np.asarray(image), noise(1)) == (encoding.type != "jpeg")


def test_png_is_the_default_and_as_it_was() -> None:
    assert spec().encoding == ENCODINGS[0]
    assert encode(noise(1), spec().encoding) == png(noise(1), synthetic=True)


def test_a_jpeg_of_higher_quality_is_larger_and_nearer_to_its_image() -> None:
    image = picture(1, side=64)
    low, high = (encode(image, JpegEncoding(type="jpeg", quality=quality)) for quality in (30, 95))
    assert len(low) < len(high) < len(encode(image, ENCODINGS[0]))
    off = [np.abs(np.asarray(PIL.Image.open(io.BytesIO(data))).astype(int) - image).mean() for data in (low, high)]
    assert off[1] < 3 < off[0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"type": "png", "quality": 90}, r"encoding\.quality: no such field"),
        ({"type": "jpeg", "quality": 0}, r"encoding\.quality: .* greater than or equal to 1 \(given: 0\)"),
        ({"quality": 90}, "encoding: does not say its type"),
        ({"type": "gif"}, "encoding: .*'png', 'webp', 'jpeg'"),
    ],
)
def test_a_wrong_encoding_is_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        parse(document(encoding=given))


@pytest.mark.parametrize("encoding", ENCODINGS, ids=str)
def test_a_version_in_it_is_loaded_evaluated_and_refused_as_a_real_source(encoding: EncodingSpec, tmp_path: Path) -> None:
    asked = spec(**SMALL, encoding=encoding.model_dump())
    summary = run(asked, tmp_path / "out", Silent())
    assert 0 < summary["arms"]["counterpoise"]["average"]["mean"] <= 1
    root = tmp_path / "out/datasets/shoes/v1"
    files = {"kept": f"{root}/data/*.parquet", "dropped": f"{root}/rejected/*.parquet"}
    kept = datasets.load_dataset("parquet", data_files=files, split="kept", cache_dir=str(tmp_path / "cache"))
    assert len(kept) == summary["counts"]["kept"] > 0
    assert all(each["image"].format == encoding.type.upper() for each in kept)
    raw = kept.cast_column("image", datasets.Image(decode=False))
    assert all(each["image"]["path"].endswith(f".{encoding.type}") for each in raw)
    with PIL.Image.open(root / "figures/samples.png") as sheet:
        assert sheet.width > 8 * 32
    assert f"Images are stored as {encoding}." in (root / "README.md").read_text()
    store = Store.open(tmp_path / "out")
    plan = read_plan(store, "datasets/shoes/v1")
    assert plan is not None
    for number, row in enumerate(rows.read_shards(store, "datasets/shoes/v1", plan)):
        file = tmp_path / "images" / ("boot", "sneaker")[number % 2] / f"{number}.{encoding.type}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(row["image"])
    with pytest.raises(SourceError, match="marked as generated"):
        open_source(FolderSource(type="folder", path=str(tmp_path / "images")))
