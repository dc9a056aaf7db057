"""A region of the map, as a query has it: the corners of a polygon, "120,80,340,80,230,300"."""

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import SpecError
from pipelines.report.embedding_map import SIDE

CORNERS = 200  # of a polygon, at most
Corner = tuple[float, float]


def coordinate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 <= value <= SIDE:
        raise SpecError(f"region: {text[:40]!r} is no number from 0 to {SIDE}; give x and y of corners as x1,y1,x2,y2,x3,y3")
    return value


def parse_region(text: str) -> list[Corner]:
    """The corners of a polygon. Raises SpecError."""
    values = [coordinate(part) for part in text.split(",")]
    if len(values) % 2:
        raise SpecError(f"region: it has {len(values)} numbers, and the last corner no y; give x1,y1,x2,y2,x3,y3")
    corners = list(zip(values[::2], values[1::2], strict=True))
    if not 3 <= len(corners) <= CORNERS:
        raise SpecError(f"region: it has {len(corners)} corners; give 3 to {CORNERS}, as x1,y1,x2,y2,x3,y3")
    return corners


def inside(points: NDArray[np.float32], corners: list[Corner]) -> NDArray[np.bool_]:
    """Which of the points (n, 2) lie in a polygon, closed from its last corner to its first: those from which a ray to the
    right crosses its outline an odd number of times (Shimrat 1962)."""
    x, y = points.astype(np.float64).T
    odd = np.zeros(len(points), np.bool_)
    for (x1, y1), (x2, y2) in zip(corners, [*corners[1:], corners[0]], strict=True):
        beside = (y1 > y) != (y2 > y)  # which none is of a level side
        crossing = x1 + (y - y1) / ((y2 - y1) or 1.0) * (x2 - x1)
        odd ^= beside & (x < crossing)
    return odd
