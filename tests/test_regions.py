from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.records import Mask
from pipelines.regions import paste, paste_object, region
from pipelines.vision.segmentation import without_specks


def blob(top: int, left: int, height: int, width: int, side: int = 64) -> Mask:
    mask = np.zeros((side, side), dtype=np.bool_)
    mask[top : top + height, left : left + width] = True
    mask[top, left] = False  # not a perfect rectangle
    return mask


def extent(mask: Mask) -> tuple[int, int]:
    return int(mask.any(axis=1).sum()), int(mask.any(axis=0).sum())


def test_specks_are_no_part_of_an_object() -> None:
    shoe, lace = blob(20, 10, 12, 30), blob(20, 45, 12, 10)
    specks = shoe.copy()
    specks[2:5, 60:63] = True
    assert np.array_equal(without_specks(specks), shoe)  # type: ignore[arg-type]
    assert np.array_equal(without_specks(shoe | lace), shoe | lace)  # type: ignore[arg-type]
    assert without_specks(np.zeros((64, 64), np.bool_)) is None


def test_a_box_is_the_square_around_the_object() -> None:
    found = region(blob(20, 10, 12, 30), "box", 0.0)
    assert extent(found) == (30, 30)
    assert found.sum() == 900
    assert (found | ~blob(20, 10, 12, 30)).all()


@pytest.mark.parametrize(("top", "left"), [(0, 0), (52, 34), (0, 34), (52, 0)])
def test_a_box_stays_a_square_inside_the_picture_at_every_edge(top: int, left: int) -> None:
    mask = blob(top, left, 12, 30)
    found = region(mask, "box", 0.2)
    assert extent(found) == (42, 42)
    assert (found | ~mask).all()


def test_growing_beyond_the_picture_gives_all_of_it() -> None:
    assert region(blob(0, 0, 60, 60), "box", 1.0).all()


def test_an_outline_is_the_mask_itself_widened() -> None:
    mask = blob(20, 20, 20, 10)
    assert np.array_equal(region(mask, "mask", 0.0), mask)
    assert extent(region(mask, "mask", 0.1)) == (24, 14)


def test_whole_is_everything() -> None:
    assert region(blob(20, 20, 5, 5), "whole", 0.0).all()


def test_a_speck_is_no_detection() -> None:
    assert without_specks(blob(0, 0, 5, 5)) is None
    assert without_specks(blob(0, 0, 10, 10)) is not None


@pytest.mark.parametrize("factor", [8, 16], ids=["512", "1024"])
@pytest.mark.parametrize("shape", ["box", "mask"])
def test_regions_and_their_soft_edges_are_the_same_at_every_resolution(factor: int, shape: str) -> None:
    """What is made of 64 pixels, enlarged, is what is made of enlarged pixels, but for half a small pixel at the edges."""

    def enlarged(pixels: NDArray[Any]) -> NDArray[Any]:
        return pixels.repeat(factor, axis=0).repeat(factor, axis=1)

    mask = blob(20, 10, 12, 30)
    specks = mask.copy()
    specks[2:5, 60:63] = True
    cleaned = without_specks(enlarged(specks))
    assert cleaned is not None
    assert np.array_equal(cleaned, enlarged(mask))
    small, large = region(mask, shape, 0.1), region(enlarged(mask), shape, 0.1)
    assert (enlarged(small) != large).mean() < 0.01
    black, white = np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8)
    soft = paste(enlarged(black), enlarged(white), enlarged(small))
    reduced = soft[..., 0].reshape(64, factor, 64, factor).mean(axis=(1, 3))
    assert np.abs(reduced - paste(black, white, small)[..., 0]).mean() < 4
    assert (soft[~enlarged(small)] == 0).all()


@pytest.mark.parametrize("side", [64, 512])
def test_thin_parts_of_an_object_that_is_pasted_stay(side: int) -> None:
    pixel = side // 64
    strap = np.zeros((side, side), np.bool_)
    strap[:, 20 * pixel : 22 * pixel] = True  # two pixels of 64
    black, white = np.zeros((side, side, 3), np.uint8), np.full((side, side, 3), 255, np.uint8)
    pasted = paste_object(black, white, strap)[..., 0]
    assert pasted[strap].mean() > 0.6 * 255  # a quarter by the feather of a repainted region
    assert pasted[~strap].max() == 0
