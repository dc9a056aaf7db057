"""Eight procedural scenes at 64x64, each a function of a random generator: float32 (64, 64, 3) in 0..1."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipelines.builtin.world import RESOLUTION

Picture = NDArray[np.float32]
N = RESOLUTION
ROWS, COLUMNS = np.mgrid[0:N, 0:N].astype(np.float32)


def colour(r: float, g: float, b: float) -> Picture:
    return np.array([r, g, b], dtype=np.float32)


def smooth(rng: np.random.Generator, rows: int, columns: int) -> Picture:
    """Noise of (rows, columns) independent values, resized to the picture: (64, 64) in about -1..1."""
    grid = Image.fromarray(rng.standard_normal((rows, columns)).astype(np.float32))
    return np.asarray(grid.resize((N, N), Image.Resampling.BICUBIC)) * np.float32(0.5)


def shaded(base: Picture, shade: Picture) -> Picture:
    return base * (1 + shade[..., None])


def grass(rng: np.random.Generator) -> Picture:
    blades = 0.35 * smooth(rng, 16, 64) + 0.15 * smooth(rng, 5, 5) + 0.12 * smooth(rng, 32, 64)
    return shaded(colour(0.28, 0.55 + 0.08 * rng.random(), 0.16), blades)


def water(rng: np.random.Generator) -> Picture:
    bend = smooth(rng, 4, 4) * 2.5
    waves = np.sin(ROWS * rng.uniform(0.6, 0.9) + bend * 2 + rng.uniform(0, 6)) * np.cos(COLUMNS * 0.12 + bend)
    return shaded(colour(0.10, 0.42 + 0.1 * rng.random(), 0.68), 0.28 * waves + 0.12 * smooth(rng, 8, 8))


def sand(rng: np.random.Generator) -> Picture:
    angle = rng.uniform(-0.5, 0.5)
    ripple = np.sin((ROWS * np.cos(angle) + COLUMNS * np.sin(angle)) * 0.55 + smooth(rng, 4, 4) * 3)
    grain = rng.standard_normal((N, N)).astype(np.float32)
    return shaded(colour(0.84, 0.72, 0.50), 0.07 * ripple + 0.04 * grain + 0.06 * smooth(rng, 4, 4))


def brick(rng: np.random.Generator) -> Picture:
    height, width = int(rng.integers(8, 11)), int(rng.integers(16, 21))
    row = ((ROWS + rng.integers(height)) // height).astype(int)
    along = COLUMNS + rng.integers(width) + (row % 2) * (width // 2)
    column = (along // width).astype(int)
    mortar = ((ROWS + 0 * along) - (row * height) + height * 9) % height < 1.5
    mortar |= along % width < 1.5
    tone = rng.standard_normal((row.max() + 1, column.max() + 1)).astype(np.float32)[row, column]
    wall = shaded(colour(0.62, 0.27, 0.20), 0.14 * tone + 0.08 * smooth(rng, 32, 32))
    return np.where(mortar[..., None], colour(0.74, 0.71, 0.67), wall)


def snow(rng: np.random.Generator) -> Picture:
    drift = 0.10 * smooth(rng, 4, 3) + 0.04 * smooth(rng, 12, 12)
    field = shaded(colour(0.88, 0.91, 0.96), np.minimum(drift, 0.08))
    sparkle = rng.random((N, N)) > 0.985
    return np.where(sparkle[..., None], colour(1, 1, 1), field)


def night(rng: np.random.Generator) -> Picture:
    sky = shaded(colour(0.06, 0.07, 0.19), 0.5 * (ROWS / N) + 0.25 * smooth(rng, 4, 4))
    for _ in range(int(rng.integers(10, 20))):
        r, c = rng.integers(0, N - 1, size=2)
        sky[r : r + 2, c : c + 2] = rng.uniform(0.6, 1.0) * colour(1.0, 0.97, 0.85)
    return sky


def wood(rng: np.random.Generator) -> Picture:
    width = int(rng.integers(12, 17))
    along = COLUMNS + rng.integers(width)
    plank = (along // width).astype(int)
    tone = rng.standard_normal(plank.max() + 1).astype(np.float32)[plank]
    grain = np.sin(along * 1.9 + smooth(rng, 3, 12) * 5)
    boards = shaded(colour(0.55, 0.36, 0.19), 0.12 * tone + 0.12 * grain + 0.06 * smooth(rng, 6, 32))
    return np.where((along % width < 1)[..., None], colour(0.22, 0.13, 0.06), boards)


def tiles(rng: np.random.Generator) -> Picture:
    side = int(rng.integers(11, 15))
    down, along = ROWS + rng.integers(side), COLUMNS + rng.integers(side)
    checker = ((down // side + along // side) % 2)[..., None]
    floor = np.where(checker > 0, colour(0.36, 0.62, 0.62), colour(0.85, 0.84, 0.78))
    grout = (down % side < 1) | (along % side < 1)
    return np.where(grout[..., None], colour(0.50, 0.48, 0.45), shaded(floor, 0.05 * smooth(rng, 6, 6)))


PAINTERS: dict[str, Callable[[np.random.Generator], Picture]] = {
    "grass": grass,
    "water": water,
    "sand": sand,
    "brick": brick,
    "snow": snow,
    "night": night,
    "wood": wood,
    "tiles": tiles,
}


def paint(scene: str, seed: int) -> Picture:
    """One scene, lit a little differently each time: float32 (64, 64, 3) in 0..1."""
    rng = np.random.default_rng(seed)
    light = np.float32(rng.uniform(0.88, 1.1))
    lit: Picture = np.clip(PAINTERS[scene](rng) * light, 0, 1)
    return lit
