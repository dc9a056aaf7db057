"""Harmonic filling: exact where the truth is smooth, quiet outside the gap, and never beyond the colours around it."""

import numpy as np
import pytest

from pipelines.records import Mask
from pipelines.vision.inpainting import harmonic_fill
from tests.builders import SIDE, flat, noise


def disc(radius: int, row: int = SIDE // 2, column: int = SIDE // 2) -> Mask:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    disc: Mask = (rows - row) ** 2 + (columns - column) ** 2 < radius**2
    return disc


def test_a_slope_is_restored() -> None:
    """A slope solves Laplace's equation."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    slope = np.stack([4 * rows, 4 * columns, 2 * rows + 3 * columns], axis=-1).astype(np.uint8)
    holed = slope.copy()
    holed[disc(9)] = 255
    assert np.abs(harmonic_fill(holed, disc(9)).astype(int) - slope).max() <= 1


@pytest.mark.parametrize("gap", [disc(9), disc(9, 0, 0), disc(9, SIDE - 1, 12)], ids=["inside", "corner", "edge"])
def test_outside_nothing_changes_and_inside_no_colour_is_new(gap: Mask) -> None:
    image = noise(0)
    filled = harmonic_fill(image, gap)
    assert np.array_equal(filled[~gap], image[~gap])
    assert not np.array_equal(filled[gap], image[gap])
    assert image[~gap].min() <= filled[gap].min() <= filled[gap].max() <= image[~gap].max()


def test_no_gap_and_nothing_but_a_gap() -> None:
    assert np.array_equal(harmonic_fill(noise(1), disc(0)), noise(1))
    assert np.array_equal(harmonic_fill(noise(1), np.ones((SIDE, SIDE), np.bool_)), flat(127))
