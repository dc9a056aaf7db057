"""Frames of photographs: where they lie, and that what is put back leaves every other pixel alone. Costs a second."""

import numpy as np
import pytest

from pipelines.records import Frame, Mask
from pipelines.source.frames import around, centre, cut, enclosing, inside, mirrored, moved, put_back, side_of, sides, within
from tests.builders import noise, picture

SIZES = [(60, 90), (90, 60), (33, 70), (16, 16), (20, 50)]


def block(top: int, left: int, height: int, width: int, side: int = 32) -> Mask:
    mask = np.zeros((side, side), dtype=np.bool_)
    mask[top : top + height, left : left + width] = True
    return mask


def test_an_image_of_the_right_size_is_left_as_it_is() -> None:
    image = noise(0)
    assert cut(image, centre(32, 32), 32) is cut(image, enclosing(32, 32), 32) is image


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_the_central_square_is_resized_the_same_each_time(height: int, width: int) -> None:
    image = np.zeros((height, width, 3), dtype=np.uint8)
    image[:, width // 2 :] = 255
    frame = centre(height, width)
    first, second = cut(image, frame, 30), cut(image, frame, 30)
    assert first.shape == (30, 30, 3)
    assert np.array_equal(first, second)
    edge = (width // 2 - frame.left) * 30 / frame.side  # where white begins, in pixels of the result
    assert abs((first[:, :, 0] < 128).sum(axis=1).mean() - edge) <= 1


def test_images_of_the_same_size_stay_aligned_pixel_by_pixel() -> None:
    """What is equal outside a region before is equal outside it after: attribution compares originals with repaints."""
    original, painted = noise(0, 64), noise(0, 64)
    painted[24:40, 24:40] = 255
    changed = (cut(original, centre(64, 64), 32) != cut(painted, centre(64, 64), 32)).any(axis=2)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    assert (rows[0], columns[0]) >= (9, 9)
    assert max(rows[-1], columns[-1]) <= 22
    assert changed[12:20, 12:20].all()


@pytest.mark.parametrize("length", [1, 3, 8])
def test_beyond_its_borders_an_image_is_mirrored_as_numpy_does(length: int) -> None:
    row = np.arange(length)
    assert np.array_equal(row[mirrored(-7, length + 14, length)], np.pad(row, 7, mode="symmetric"))


@pytest.mark.parametrize(("top", "left"), [(0, 0), (20, 30), (7, 11), (-1, 5), (5, -1), (21, 0), (0, 31)])
def test_inside_and_beyond_its_borders_pixels_are_those_of_the_mirrored_image(top: int, left: int) -> None:
    image = noise(0, 70)[:60]
    expected = np.pad(image, ((40, 40), (40, 40), (0, 0)), mode="symmetric")[top + 40 : top + 80, left + 40 : left + 80]
    part = cut(image, Frame(top, left, 40), 40)
    assert np.array_equal(part, expected)
    assert not np.shares_memory(part, image)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_an_enclosing_frame_holds_all_of_the_image_once(height: int, width: int) -> None:
    frame = enclosing(height, width)
    assert (frame.side, inside(frame, height, width, frame.side).sum()) == (max(height, width), height * width)
    assert np.array_equal(within(cut(noise(0, 90)[:height, :width], frame, frame.side), frame, height, width),
                          noise(0, 90)[:height, :width])  # fmt: skip


@pytest.mark.parametrize(("height", "width"), [(400, 533), (533, 400), (600, 600)])
def test_a_frame_shows_the_images_own_pixels_around_its_region(height: int, width: int) -> None:
    """A small region: as many pixels as the model takes, all of them the image's."""
    overview = enclosing(height, width)
    frame = around(block(10, 12, 4, 4), overview, height, width, resolution=128)
    assert frame.side == 128
    assert 0 <= frame.top <= height - 128
    assert 0 <= frame.left <= width - 128
    image = noise(3, 600)[:height, :width]
    assert np.array_equal(cut(image, frame, 128), image[frame.top : frame.top + 128, frame.left : frame.left + 128])
    region = moved(block(10, 12, 4, 4), overview, frame, height, width)
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    assert abs(len(rows) - 4 * overview.side / 128) <= 1  # four of 32, in a frame that is shown in 32
    assert abs(rows.mean() + columns.mean() - 31) <= 4  # in its middle


def test_sides_are_a_few_parts_of_the_resolution_that_models_take() -> None:
    assert sides(1024, 0.25) == [256, 512, 768, 1024]
    assert sides(512, 0.5) == [256, 384, 512]
    assert sides(640, 0.25) == [192, 320, 512, 640]
    assert sides(64, 0.3) == [32, 48, 64]
    assert sides(32, 0.25) == [16, 32]
    assert sides(100, 1.0) == [100]


@pytest.mark.parametrize(("length", "side"), [(1, 16), (2, 32), (4, 48), (5, 64), (12, 64)])
def test_a_small_region_has_the_smallest_side_that_keeps_its_photographs_pixels(length: int, side: int) -> None:
    """Of 32 cells of 8 pixels each: a region with its context has `length * 8 * 1.5` pixels a side."""
    overview, mask = enclosing(256, 200), block(10, 12, length, 1)
    assert side_of(mask, overview, 256, 200, sides(64, 0.25)) == side
    assert around(mask, overview, 256, 200, side).side == max(side, length * 12)
    assert side_of(mask, overview, 256, 200, sides(64, 1.0)) == 64
    assert side_of(block(1, 1, 30, 30), enclosing(40, 40), 40, 40, sides(64, 0.25)) == 48  # no more pixels than there are


def test_a_mask_moves_to_a_frame_of_another_side() -> None:
    mask, overview, frame = block(8, 12, 4, 8), enclosing(64, 64), Frame(8, 16, 32)
    small = moved(mask, overview, frame, 64, 64, 16)
    assert np.array_equal(small, block(4, 4, 4, 8, side=16))
    assert np.array_equal(moved(small, frame, overview, 64, 64, 32), mask)
    assert np.array_equal(moved(mask, overview, overview, 64, 64, 64), mask.repeat(2, axis=0).repeat(2, axis=1))


def test_a_large_region_has_context_and_a_frame_no_larger_than_the_image() -> None:
    overview = enclosing(500, 500)
    assert around(block(8, 8, 10, 10), overview, 500, 500, 64).side == round(10 / 32 * 500 * 1.5)
    assert around(block(1, 1, 30, 30), overview, 500, 500, 64) == Frame(0, 0, 500)
    tall = around(block(1, 10, 30, 12), enclosing(500, 300), 500, 300, 64)
    assert tall == Frame(0, -100, 500)


def test_a_small_image_is_its_own_frame() -> None:
    """Nothing is gained by enlarging a part of what is smaller than the model's images."""
    assert around(block(8, 8, 10, 10), enclosing(64, 64), 64, 64, 64) == Frame(0, 0, 64)
    assert around(block(8, 8, 10, 10), enclosing(64, 48), 64, 48, 64).side == 48


@pytest.mark.parametrize("side", [32, 48, 100])
def test_what_is_put_back_changes_nothing_outside_its_region(side: int) -> None:
    image, frame, mask = picture(1, 150)[:120], Frame(30, -10, side), block(8, 8, 16, 12)
    own = cut(image, frame, 32)
    painted = np.where(mask[..., None], 255 - own, own).astype(np.uint8)
    result = put_back(image, painted, frame, mask)
    scale = side / 32
    rows = slice(int(np.floor(30 + 8 * scale)), int(np.ceil(30 + 24 * scale)))
    columns = slice(max(0, int(np.floor(-10 + 8 * scale))), int(np.ceil(-10 + 20 * scale)))
    outside = np.ones(image.shape[:2], np.bool_)
    outside[rows, columns] = False
    assert result.shape == image.shape
    assert np.array_equal(result[outside], image[outside])
    middle = result[rows, columns].astype(int) - image[rows, columns]
    assert np.abs(middle).mean() > 20


def test_a_frame_that_was_not_painted_leaves_nearly_nothing_behind() -> None:
    """Bringing pixels to the model's resolution and back costs little, and nothing outside the region."""
    image = picture(1, 300)[:200]
    mask = block(8, 8, 16, 16, 64)
    frame = around(mask, enclosing(200, 300), 200, 300, 64)
    result = put_back(image, cut(image, frame, 64), frame, mask)
    assert np.abs(result.astype(int) - image).max() <= 8


def test_a_mask_moves_with_its_image_and_is_mirrored_with_it() -> None:
    height, width, count = 40, 60, 60
    overview = enclosing(height, width)
    truth = np.zeros((height, width), np.bool_)
    truth[25:40, 10:30] = True  # touches the lower border
    mask = cut(np.repeat(truth[..., None] * np.uint8(255), 3, axis=2), overview, count)[..., 0] > 127
    clipped = mask & inside(overview, height, width, count)
    frame = Frame(0, 5, 50)
    expected = cut(np.repeat(truth[..., None] * np.uint8(255), 3, axis=2), frame, count)[..., 0] > 127
    assert (moved(clipped, overview, frame, height, width) != expected).mean() < 0.02
