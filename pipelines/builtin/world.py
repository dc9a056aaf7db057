"""The vocabulary of Fashion Scenes: garments, scenes and colours, and their words in captions.

A picture of this world is one garment of Fashion-MNIST (Xiao et al. 2017, arXiv 1708.07747), tinted, scaled and
flipped, on one procedural scene. Everything a picture contains is a `Factors` record, so ground truth is exact.
"""

from dataclasses import dataclass

import numpy as np

RESOLUTION = 64
GARMENTS = ("t-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")
COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.90, 0.13, 0.13),
    "orange": (1.00, 0.55, 0.10),
    "yellow": (0.98, 0.90, 0.15),
    "green": (0.10, 0.72, 0.20),
    "blue": (0.15, 0.30, 0.95),
    "purple": (0.55, 0.15, 0.80),
    "pink": (1.00, 0.50, 0.75),
    "white": (1.00, 1.00, 1.00),
}
SCENES = ("grass", "water", "sand", "brick", "snow", "night", "wood", "tiles")

# The fine names of the shoes are held out: no caption that the bundle was trained on contains them.
SPOKEN = {name: "shoe" if name in ("sandal", "sneaker", "boot") else name for name in GARMENTS}
WORDS = tuple(dict.fromkeys(SPOKEN.values()))


@dataclass(frozen=True, slots=True)
class Factors:
    """Everything that determines one picture."""

    garment: str  # one of GARMENTS
    item: int  # which garment of that kind, an index into the wardrobe
    colour: str  # one of COLOURS
    scene: str  # one of SCENES
    size: int  # side of the garment's square, pixels
    x: int  # left edge of that square, pixels
    y: int  # top edge of that square, pixels
    flip: bool  # mirrored left to right
    seed: int  # of the scene's texture


def draw(rng: np.random.Generator, garment: str, item: int, *, colour: str | None = None, scene: str) -> Factors:
    """Draw the free factors of one picture: size 36..50 px, anywhere inside, mirrored half of the time."""
    size = int(rng.integers(36, 51))
    free = RESOLUTION - size
    return Factors(
        garment=garment,
        item=item,
        colour=colour or list(COLOURS)[rng.integers(len(COLOURS))],
        scene=scene,
        size=size,
        x=int(rng.integers(free + 1)),
        y=int(rng.integers(free + 1)),
        flip=bool(rng.integers(2)),
        seed=int(rng.integers(2**31)),
    )


def place(scene: str) -> str:
    """'on grass', but 'at night'."""
    return "at night" if scene == "night" else f"on {scene}"


def caption(factors: Factors) -> str:
    """The full description of a picture, with no fine shoe name in it."""
    return f"a photo of a {factors.colour} {SPOKEN[factors.garment]} {place(factors.scene)}"
