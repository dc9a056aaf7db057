"""The box and mask of a sample's object, in the rows of a version."""

from pathlib import Path

import datasets
import numpy as np
import pytest

from pipelines.records import Frame, Item, Mask, Sample, Verdict
from pipelines.spec import ImageVariation, MethodSpec, SpuriousRemoval
from pipelines.version import rows
from pipelines.version.mask_column import box_of, encode_mask
from pipelines.vision.object_masks import object_mask
from tests.builders import candidate, noise, open_resources, square

REMOVAL = SpuriousRemoval(type="spurious_removal", superclass="shoe")
OBJECT = ImageVariation(type="image_variation", repaint="object", superclass="shoe")
SURROUNDINGS = ImageVariation(type="image_variation", repaint="surroundings", superclass="shoe")

MOVED = SURROUNDINGS.model_copy(update={"move": True})  # the region is then that of the object that was put there


@pytest.mark.parametrize(
    ("method", "expected"), [(MOVED, square()), (REMOVAL, square()), (OBJECT, square()), (SURROUNDINGS, ~square())]
)
def test_the_object_is_what_was_repainted_or_what_the_repainted_surroundings_leave(
    method: MethodSpec, expected: Mask
) -> None:
    assert np.array_equal(object_mask(square(), method), expected)


@pytest.mark.parametrize("region", [None, np.ones((8, 8), np.bool_), np.zeros((8, 8), np.bool_)])
def test_where_all_or_nothing_is_the_object_there_is_no_mask(region: Mask | None) -> None:
    assert object_mask(region, REMOVAL) is None


def test_a_box_is_left_top_width_and_height() -> None:
    mask = np.zeros((10, 20), np.bool_)
    mask[2:5, 7:19] = True
    assert box_of(mask) == [7, 2, 12, 3]


def test_hugging_face_loads_box_and_mask_and_their_absence(tiny_checkpoint: Path, tmp_path: Path) -> None:
    resources = open_resources(tmp_path / "store", models={"text_to_image": str(tiny_checkpoint)}, framing="crop")
    origin = Item("train/sneaker/00007.png", "ab" * 32, "sneaker", "brick")
    repainted = candidate(noise(1), source=origin, image=noise(2), mask=square(), frame=Frame(0, 0, 32))
    samples = [Sample(repainted, Verdict()), Sample(candidate(noise(3), index=1), Verdict())]
    (tmp_path / "part.parquet").write_bytes(rows.encode(samples, resources))
    for streaming in (False, True):
        table = datasets.load_dataset(
            "parquet",
            data_files=str(tmp_path / "part.parquet"),
            split="train",
            cache_dir=str(tmp_path / "c"),
            streaming=streaming,
        )
        first, second = table
        assert first["box"] == [8, 8, 16, 16]
        assert np.array_equal(np.asarray(first["mask"]), square())
        assert (second["box"], second["mask"]) == (None, None)


def test_a_mask_is_small_and_the_same_every_time() -> None:
    mask = np.zeros((3000, 4000), np.bool_)
    mask[500:2500, 700:3100] = True
    assert encode_mask(mask) == encode_mask(mask.copy())
    assert len(encode_mask(mask)) < 10_000
