"""Worlds of Fashion Scenes with one shortcut planted in all splits: an attribute that comes with each class, mostly."""

from dataclasses import dataclass, replace

import numpy as np
import PIL.Image

from pipelines.builtin import wardrobe
from pipelines.builtin.render import render
from pipelines.builtin.world import COLOURS, RESOLUTION, SCENES, Factors, draw
from pipelines.chance import derive
from pipelines.discovery.sharpness import blurred, compressed
from pipelines.records import Image, Item
from pipelines.source.source import Source
from pipelines.store.canonical import digest

TRAIN, HELD_OUT = 300, 100  # images of a class
QUALITIES = (None, 25, 12)  # of JPEG, by class; None: not compressed
SIGMAS = (0.0, 1.0, 2.0)  # of the blur, pixels
MARKS = (None, (3, 3, 255, 220, 0), (56, 40, 0, 240, 255))  # row and column, red, green and blue


@dataclass(frozen=True, slots=True)
class World:
    attribute: str  # the planted one; in a clean world it comes with no class
    classes: tuple[str, ...]
    strength: float  # share of a class's images that have the class's own
    seed: int

    @property
    def clean(self) -> bool:
        return self.strength <= 1 / len(self.classes)

    @property
    def title(self) -> str:
        return f"{'clean' if self.clean else self.attribute}, {'/'.join(self.classes)}, {100 * self.strength:.0f} %"


def marked(image: Image, kind: int) -> Image:
    """With a bright mark of five pixels near the border."""
    mark = MARKS[kind]
    if mark is None:
        return image
    row, column, *colour = mark
    changed = image.copy()
    changed[row : row + 5, column : column + 5] = colour
    return changed


def placed(factors: Factors, kind: int, random: np.random.Generator) -> Factors:
    """A smaller garment at the top, at the bottom or in the middle."""
    size = int(random.integers(32, 37))
    free = RESOLUTION - size
    y = (0, free, free // 2)[kind] + int(random.integers(0, 4)) * (1, -1, 1)[kind]
    return replace(factors, size=size, x=int(random.integers(free + 1)), y=y)


def picture(world: World, label: int, number: int) -> Image:
    """The number-th image of a class."""
    garment, random = world.classes[label], np.random.default_rng(derive(world.seed, "picture", label, number))
    others = [n for n in range(len(world.classes)) if n != label]
    kind = label if random.random() < world.strength else int(random.choice(others))
    factors = draw(random, garment, number, scene=SCENES[random.integers(len(SCENES))])
    wheel = np.random.default_rng(world.seed)  # which scenes and colours the classes come with
    scenes, hues = wheel.permutation(SCENES).tolist(), wheel.permutation(list(COLOURS)).tolist()
    if world.attribute == "background":
        factors = replace(factors, scene=scenes[kind])
    elif world.attribute == "colour":
        factors = replace(factors, colour=hues[kind])
    elif world.attribute == "position":
        factors = placed(factors, kind, random)
    garments = wardrobe.for_sources().items[garment]
    order = np.random.default_rng(derive(world.seed, "order", garment)).permutation(len(garments))
    image = render(factors, garments[order[number]]).image
    if world.attribute == "border":
        return marked(image, kind)
    if world.attribute == "compression" and (quality := QUALITIES[kind]) is not None:
        return compressed(image, quality)
    return blurred(image, SIGMAS[kind]) if world.attribute == "blur" and kind else image


def source(world: World, train: int = TRAIN, held_out: int = HELD_OUT) -> Source:
    """With so many training images of a class, and as many to validate and test on together; no group is known."""
    images: dict[str, Image] = {}
    splits: dict[str, list[Item]] = {"train": [], "validation": [], "test": []}
    for label, name in enumerate(world.classes):
        for number in range(train + held_out):
            split = "train" if number < train else "validation" if number < train + held_out // 2 else "test"
            item = Item(f"{split}/{name}/{number:04d}.png", digest([world.seed, name, number]), name, None)
            images[item.id] = picture(world, label, number)
            splits[split].append(item)
    return Source(world.classes, splits, lambda item: images[item.id])


def sheet(world: World, columns: int = 12) -> PIL.Image.Image:
    """A row of each class's first images, to look at."""
    rows = [
        np.concatenate([picture(world, label, n) for n in range(columns)], axis=1) for label in range(len(world.classes))
    ]
    return PIL.Image.fromarray(np.concatenate(rows))


PAIRS = (("boot", "sneaker"), ("shirt", "coat"), ("pullover", "dress"), ("bag", "sandal"))
TRIPLES = (("shirt", "coat", "pullover"), ("sandal", "sneaker", "boot"))
PLANTED = tuple(
    World(attribute, classes, strength, 100 + number)
    for number, (attribute, classes, strength) in enumerate(
        (
            ("background", PAIRS[0], 0.95), ("background", PAIRS[1], 0.80), ("background", PAIRS[2], 0.99),
            ("background", TRIPLES[0], 0.90),
            ("colour", PAIRS[1], 0.90), ("colour", PAIRS[0], 0.80), ("colour", PAIRS[2], 0.99), ("colour", TRIPLES[1], 0.95),
            ("border", PAIRS[0], 0.90), ("border", PAIRS[1], 0.99), ("border", TRIPLES[0], 0.95),
            ("position", PAIRS[1], 0.95), ("position", PAIRS[2], 0.85), ("position", TRIPLES[0], 0.95),
            ("compression", PAIRS[0], 0.95), ("compression", PAIRS[1], 0.85), ("compression", TRIPLES[0], 0.99),
            ("blur", PAIRS[1], 0.95), ("blur", PAIRS[0], 0.80), ("blur", TRIPLES[1], 0.99),
        )
    )
)  # fmt: skip
CLEAN = tuple(
    World(attribute, classes, 1 / len(classes), 300 + number)
    for number, (attribute, classes) in enumerate(
        (
            ("background", PAIRS[0]), ("background", ("trousers", "bag")), ("background", ("dress", "bag", "boot")),
            ("colour", PAIRS[2]), ("colour", TRIPLES[1]), ("border", ("t-shirt", "trousers")), ("position", PAIRS[0]),
            ("compression", PAIRS[3]), ("blur", ("sneaker", "coat")), ("blur", TRIPLES[1]),
        )
    )
)  # fmt: skip
