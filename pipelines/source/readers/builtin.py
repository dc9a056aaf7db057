"""The built-in sources: each picture rendered when it is read."""

import hashlib
from collections import Counter

from pipelines.builtin import sources as builtin
from pipelines.builtin import wardrobe
from pipelines.builtin.render import render
from pipelines.builtin.world import Factors
from pipelines.records import Image, Item, Mask
from pipelines.source.source import Source


def open_builtin(spec: builtin.BuiltinSpec) -> Source:
    """Render a built-in source, each picture when it is read."""
    stock = wardrobe.for_sources().items
    factors: dict[str, Factors] = {}
    splits: dict[str, list[Item]] = {}
    for split, pictures in builtin.splits(spec).items():
        counted: Counter[str] = Counter()
        splits[split] = []
        for picture in pictures:
            name = f"{split}/{picture.garment}/{counted[picture.garment]:05d}.png"
            counted[picture.garment] += 1
            factors[name] = picture
            sha256 = hashlib.sha256(repr(picture).encode() + stock[picture.garment][picture.item].tobytes()).hexdigest()
            splits[split].append(Item(name, sha256, picture.garment, picture.scene))

    def scene(item: Item) -> Factors:
        return factors[item.id]

    def read(item: Item) -> Image:
        return render(scene(item), stock[item.label][scene(item).item]).image

    def truth(item: Item) -> Mask:
        return render(scene(item), stock[item.label][scene(item).item]).mask

    return Source(tuple(spec.classes), splits, read, truth=truth)
