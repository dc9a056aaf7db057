"""Masks to train an inpainting UNet on: the regions that the methods repaint, and random ones beside them."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from pipelines.builtin.world import RESOLUTION
from pipelines.records import Mask
from pipelines.regions import bounds, region

GROW = 0.4  # the most that a region is widened, as a share of its object's longer side
LEAST = 8  # side of a rectangle, pixels
WIDTHS = (6, 20)  # of brush strokes, pixels


class Repaint(NamedTuple):
    """What is repainted of one picture, as a `Request` says it. Masks (64, 64)."""

    region: Mask
    kept: Mask  # an object that stays inside the region, as a grafted one does


def grow(rng: np.random.Generator) -> float:
    """Mostly little: an object that is widened by much of its size fills the picture."""
    return float(GROW * rng.random() ** 2)


def box(rng: np.random.Generator, object_: Mask, other: Mask) -> Mask:
    """The square around the object, which `region: box` repaints."""
    return region(object_, "box", grow(rng))


def outline(rng: np.random.Generator, object_: Mask, other: Mask) -> Mask:
    """The object, widened: `region: mask`."""
    return region(object_, "mask", grow(rng))


def surroundings(rng: np.random.Generator, object_: Mask, other: Mask) -> Mask:
    """All but the object: `repaint: surroundings`."""
    return ~region(object_, "mask", grow(rng) / 4)


def gap(rng: np.random.Generator, object_: Mask, other: Mask) -> Mask:
    """The object and another in its place, both widened: what is repainted around a grafted object."""
    (rows, columns), (other_rows, other_columns) = bounds(object_), bounds(other)
    down = (rows.start + rows.stop - other_rows.start - other_rows.stop) // 2
    along = (columns.start + columns.stop - other_columns.start - other_columns.stop) // 2
    share = 0.05 + grow(rng) / 2  # with none, nothing may be left between the two
    return region(object_, "mask", share) | region(np.roll(other, (down, along), (0, 1)), "mask", share)


def rectangle(rng: np.random.Generator, object_: Mask, other: Mask) -> Mask:
    """A random rectangle, wherever the object is."""
    sides = rng.integers(LEAST, RESOLUTION + 1, size=2)
    top, left = rng.integers(0, RESOLUTION - sides + 1)
    mask = np.zeros_like(object_)
    mask[top : top + sides[0], left : left + sides[1]] = True
    return mask


def strokes(rng: np.random.Generator, object_: Mask, other: Mask) -> Mask:
    """One to three strokes of a thick brush."""
    canvas = Image.new("1", (RESOLUTION, RESOLUTION))
    for _ in range(rng.integers(1, 4)):
        points = rng.integers(0, RESOLUTION, size=(rng.integers(2, 6), 2)).flatten().tolist()
        ImageDraw.Draw(canvas).line(points, fill=1, width=int(rng.integers(*WIDTHS)), joint="curve")
    return np.array(canvas)


def whole(rng: np.random.Generator, object_: Mask, other: Mask) -> Mask:
    """Everything, so that the model draws from text alone as well."""
    return np.ones_like(object_)


Draw = Callable[[np.random.Generator, Mask, Mask], Mask]  # of the object in a picture, and of that in another
# Shares of the pictures of a batch. Half have the region that the product repaints unless another is asked for.
KINDS: dict[Draw, float] = {
    box: 0.45,
    gap: 0.12,
    outline: 0.10,
    surroundings: 0.05,
    rectangle: 0.09,
    strokes: 0.09,
    whole: 0.10,
}


def repaint(rng: np.random.Generator, kind: Draw, object_: Mask, other: Mask) -> Repaint:
    """A region of one kind, drawn around the object of a picture; `other` is another picture's object."""
    kept = object_ if kind is gap else np.zeros_like(object_)
    return Repaint(kind(rng, object_, other), kept)


def draw_kinds(rng: np.random.Generator, count: int) -> list[Draw]:
    kinds = list(KINDS)
    return [kinds[number] for number in rng.choice(len(kinds), size=count, p=list(KINDS.values()))]
