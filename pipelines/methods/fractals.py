"""Fractals to blend into images, as PixMix (CVPR 2022, arXiv 2112.05135) has them: each drawn by a seed, none downloaded.

Filled Julia sets of z^2 + c, c just outside the main cardioid of the Mandelbrot set, where they are most intricate; coloured
by how soon a point escapes.
"""

import numpy as np
import PIL.Image

from pipelines.records import Image

SIDE = 256  # pixels a side at most that are computed; more are interpolated
ITERATIONS = 48
ESCAPED = 1e3  # far enough for a smooth escape time


def fractal(seed: int, side: int) -> Image:
    """A fractal, uint8 (side, side, 3)."""
    rng = np.random.default_rng(seed)
    turn = np.exp(2j * np.pi * rng.random())
    c = (turn / 2 - turn**2 / 4) * rng.uniform(1.01, 1.12)
    times = escape_times(c, rng.uniform(0.6, 1.5), rng.uniform(0, np.pi), min(side, SIDE))
    times = (times - times.min()) / (np.ptp(times) + 1e-9)
    phase, cycles = rng.random(3), rng.uniform(0.5, 2.5, 3)
    colours = 127.5 + 127.5 * np.cos(2 * np.pi * (np.sqrt(times)[..., None] * cycles + phase))
    picture = PIL.Image.fromarray(np.round(colours).astype(np.uint8))
    return np.asarray(picture.resize((side, side), PIL.Image.Resampling.BICUBIC))


def escape_times(c: complex, width: float, angle: float, side: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """After how many iterations each point escapes, in fractions of one, (side, side); of those that never do, the most. The
    square reaches `width` from the origin to each side, and is turned by the angle."""
    line = np.linspace(-width, width, side)
    z = (line[None] + 1j * line[:, None]) * np.exp(1j * angle)
    times = np.full(z.shape, float(ITERATIONS))
    inside = np.ones(z.shape, np.bool_)
    for count in range(ITERATIONS):
        z[inside] = z[inside] ** 2 + c
        size = np.abs(z)
        out = inside & (size > ESCAPED)
        times[out] = count + 1 - np.log2(np.log(size[out]) / np.log(ESCAPED))
        inside &= ~out
    return times
