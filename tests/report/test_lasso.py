"""Which points lie in a polygon, beside matplotlib's own answer and beside winding numbers. One second."""

import numpy as np
import pytest
from matplotlib.path import Path
from numpy.typing import NDArray

from pipelines.errors import SpecError
from pipelines.report.embedding_map import SIDE
from pipelines.report.lasso import CORNERS, Corner, inside, parse_region

POINTS = np.random.default_rng(0).uniform(0, SIDE, (2000, 2)).astype(np.float32)


def polygon(seed: int, corners: int) -> list[Corner]:
    """Corners anywhere, so that the outline crosses itself."""
    return [(float(x), float(y)) for x, y in np.random.default_rng(seed).uniform(0, SIDE, (corners, 2))]


def star(seed: int, corners: int, size: float = 1.0) -> list[Corner]:
    """An outline that goes around the middle once."""
    rng = np.random.default_rng(seed)
    angles, radii = np.sort(rng.uniform(0, 2 * np.pi, corners)), rng.uniform(100, 480, corners) * size
    return [(float(x), float(y)) for x, y in zip(500 + radii * np.cos(angles), 500 + radii * np.sin(angles), strict=True)]


def winding(point: NDArray[np.float32], corners: list[Corner]) -> int:
    """How often an outline goes around a point, by the sum of the angles at which it sees the sides."""
    spokes = np.array(corners) - point.astype(np.float64)
    directions = np.arctan2(spokes[:, 1], spokes[:, 0])
    turns = (np.roll(directions, -1) - directions + np.pi) % (2 * np.pi) - np.pi
    return round(float(turns.sum() / (2 * np.pi)))


@pytest.mark.parametrize("seed", range(5))
def test_it_is_as_matplotlib_says(seed: int) -> None:
    for corners in (polygon(seed, 3), star(seed, 30)):
        expected = Path([*corners, corners[0]], closed=True).contains_points(POINTS)
        assert 0 < expected.sum() < len(POINTS)
        assert (inside(POINTS, corners) == expected).all()


@pytest.mark.parametrize("corners", [4, 7, 20])
def test_where_an_outline_crosses_itself_an_even_number_of_turns_is_outside(corners: int) -> None:
    outline = polygon(corners, corners)
    expected = np.array([winding(point, outline) % 2 == 1 for point in POINTS])
    assert 0 < expected.sum() < len(POINTS)
    assert (inside(POINTS, outline) == expected).all()


def test_a_polygon_within_another_selects_some_of_its_points() -> None:
    outer, inner = (inside(POINTS, star(1, 40, size)) for size in (1.0, 0.6))
    assert 0 < inner.sum() < outer.sum()
    assert (outer | inner == outer).all()


def test_neighbouring_rectangles_share_no_point_and_leave_none_out() -> None:
    """Points on their common side, too."""
    grid = np.stack(np.meshgrid(np.arange(0.0, SIDE, 50), np.arange(0.0, SIDE, 50)), axis=-1).reshape(-1, 2)
    left = inside(grid.astype(np.float32), [(0, 0), (500, 0), (500, 1000), (0, 1000)])
    right = inside(grid.astype(np.float32), [(500, 0), (1000, 0), (1000, 1000), (500, 1000)])
    assert (left ^ right).all()


def test_a_line_has_no_inside() -> None:
    assert not inside(POINTS, [(0, 0), (1000, 1000), (500, 500)]).any()


def test_corners_are_read() -> None:
    assert parse_region("0,0,10.5,0,10,1000") == [(0, 0), (10.5, 0), (10, 1000)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b", "'a' is no number from 0 to 1000"),
        ("", "'' is no number"),
        ("1,2,3,4,5,nan", "'nan' is no number"),
        ("1,2,3,4,5,inf", "'inf' is no number"),
        ("1,2,3,4,5,-1", "'-1' is no number"),
        ("1,2,3,4,5,1001", "'1001' is no number"),
        ("1,2,3,4,5", "it has 5 numbers, and the last corner no y"),
        ("1,2,3,4", "it has 2 corners; give 3 to 200"),
        (",".join(["1"] * 2 * (CORNERS + 1)), "it has 201 corners"),
    ],
)
def test_a_region_that_is_none_is_refused(text: str, message: str) -> None:
    with pytest.raises(SpecError, match="region: ") as refusal:
        parse_region(text)
    assert message in str(refusal.value)
