"""Rendered training pictures, cached as memory-mapped arrays: every garment, colour and scene equally often."""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.builtin import wardrobe
from pipelines.builtin.render import render
from pipelines.builtin.world import COLOURS, GARMENTS, RESOLUTION, SCENES, draw

CHUNK = 2000
COMBINATIONS = len(GARMENTS) * len(COLOURS) * len(SCENES)


@dataclass(frozen=True, slots=True)
class Pictures:
    images: NDArray[np.uint8]  # (n, 64, 64, 3)
    masks: NDArray[np.bool_]  # (n, 64, 64)
    factors: NDArray[np.uint8]  # (n, 3): indices of garment, colour and scene


def chunk(seed: int, start: int, count: int, held_out: bool = False) -> Pictures:
    """Render pictures start..start+count. The mixed-radix index makes every combination equally often."""
    rng = np.random.default_rng([seed, start])
    garments = (wardrobe.for_sources() if held_out else wardrobe.for_models()).items
    images = np.empty((count, RESOLUTION, RESOLUTION, 3), np.uint8)
    masks = np.empty((count, RESOLUTION, RESOLUTION), np.bool_)
    factors = np.empty((count, 3), np.uint8)
    for row in range(count):
        rest, garment = divmod(start + row, len(GARMENTS))
        rest, colour = divmod(rest, len(COLOURS))
        scene = rest % len(SCENES)
        kind = garments[GARMENTS[garment]]
        what = draw(rng, GARMENTS[garment], int(rng.integers(len(kind))), colour=list(COLOURS)[colour], scene=SCENES[scene])
        picture = render(what, kind[what.item])
        images[row], masks[row], factors[row] = picture.image, picture.mask, (garment, colour, scene)
    return Pictures(images, masks, factors)


def pictures(folder: Path, count: int, seed: int) -> Pictures:
    """Open, or render with all cores and then open, `count` pictures in `folder`."""
    home = folder / f"pictures-{seed}-{count}"
    names = ("images", "masks", "factors")
    if not (home / "factors.npy").exists():
        home.mkdir(parents=True, exist_ok=True)
        starts = range(0, count, CHUNK)
        sizes = [min(CHUNK, count - start) for start in starts]
        with ProcessPoolExecutor() as pool:
            parts = list(pool.map(chunk, [seed] * len(starts), starts, sizes))
        for name in names:
            np.save(home / f"{name}.npy", np.concatenate([getattr(part, name) for part in parts]))
    return Pictures(*(np.load(home / f"{name}.npy", mmap_mode="c") for name in names))


def fresh(seed: int, rounds: int = 1) -> Pictures:
    """Every combination `rounds` times, of garments that no bundled model was trained on."""
    return chunk(seed, 0, rounds * COMBINATIONS, held_out=True)
