"""The built-in sources: which pictures each split holds. No garment is ever in two splits."""

from collections.abc import Iterable, Iterator

import numpy as np

from pipelines.builtin import wardrobe
from pipelines.builtin.world import GARMENTS, Factors, draw
from pipelines.chance import derive
from pipelines.errors import SourceError
from pipelines.spec import FewShotSource, LongTailSource, SpuriousSource
from pipelines.spec.amount import divided

BuiltinSpec = SpuriousSource | FewShotSource | LongTailSource
Split = list[Factors]
POOL = 150  # pictures of each kind of garment in the unlabelled pool, at most half of what is left of it


class Dresser:
    """Hands out garments, each once, and draws the rest of the picture.

    Seed 0 takes the garments of a kind in their own order, any other in one drawn from it: other seeds are other images, not
    the same garments in other colours.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.next: dict[str, int] = {}
        self.orders: dict[str, list[int]] = {}

    def order(self, garment: str) -> list[int]:
        """Indices of a kind's garments, in the order in which pictures take them."""
        if garment not in self.orders:
            numbers = np.arange(len(wardrobe.for_sources().items[garment]))
            if self.seed:
                numbers = np.random.default_rng(derive(self.seed, "order", garment)).permutation(numbers)
            self.orders[garment] = numbers.tolist()
        return self.orders[garment]

    def left(self, garment: str) -> int:
        return len(wardrobe.for_sources().items[garment]) - self.next.get(garment, 0)

    def pictures(self, garment: str, scenes: Iterable[str]) -> Iterator[Factors]:
        for scene in scenes:
            place = self.next.get(garment, 0)
            self.next[garment], item = place + 1, self.order(garment)[place]
            yield draw(np.random.default_rng(derive(self.seed, garment, item)), garment, item, scene=scene)


def alternating(scenes: tuple[str, ...], count: int) -> list[str]:
    return [scenes[i % len(scenes)] for i in range(count)]


def even(dresser: Dresser, classes: tuple[str, ...], scenes: tuple[str, ...], total: int) -> Split:
    """`total` pictures, equally many of every class on every scene."""
    counts = zip(classes, divided(total, len(classes)), strict=True)
    return [f for garment, n in counts for f in dresser.pictures(garment, alternating(scenes, n))]


def shortcut(dresser: Dresser, spec: SpuriousSource) -> Split:
    """Each class on its own scene for a share `ratio` of its pictures, on the others' for the rest."""
    pictures: Split = []
    for number, (garment, own) in enumerate(zip(spec.classes, spec.scenes, strict=True)):
        count = divided(spec.train, len(spec.classes))[number]
        others = tuple(s for s in spec.scenes if s != own)
        minority = count - round(count * spec.ratio)
        scenes = [own] * (count - minority) + alternating(others, minority)
        pictures += dresser.pictures(garment, scenes)
    return pictures


def tail_sizes(spec: LongTailSource) -> list[int]:
    last = len(spec.classes) - 1
    return [max(1, round(spec.head * spec.imbalance ** (-i / last))) for i in range(len(spec.classes))]


def tail(dresser: Dresser, spec: LongTailSource) -> Split:
    sizes = zip(spec.classes, tail_sizes(spec), strict=True)
    return [f for garment, n in sizes for f in dresser.pictures(garment, alternating(spec.scenes, n))]


def needed(spec: BuiltinSpec) -> dict[str, int]:
    """Garments of each kind that training, validation and test take."""
    parts = len(spec.classes)
    if isinstance(spec, SpuriousSource):
        train = divided(spec.train, parts)
    elif isinstance(spec, FewShotSource):
        train = [spec.shots] * parts
    else:
        train = tail_sizes(spec)
    held_out = [v + t for v, t in zip(divided(spec.validation, parts), divided(spec.test, parts), strict=True)]
    return {g: a + b for g, a, b in zip(spec.classes, train, held_out, strict=True)}


def splits(spec: BuiltinSpec) -> dict[str, Split]:
    """The pictures of `train`, `validation`, `test`; of `reserve`: balanced real images that the ceiling alone trains on;
    and of `pool`: real images of every kind of garment, to be used as unlabelled.

    Raises SourceError when there are not enough garments.
    """
    dresser = Dresser(spec.seed)
    for garment, count in needed(spec).items():
        have = dresser.left(garment)
        if count > have:
            raise SourceError(
                f"source: needs {count} different garments of kind {garment!r}, there are {have}; ask for fewer"
            )
    held_out = {
        "test": even(dresser, spec.classes, spec.scenes, spec.test),
        "validation": even(dresser, spec.classes, spec.scenes, spec.validation),
    }
    if isinstance(spec, SpuriousSource):
        train = shortcut(dresser, spec)
    elif isinstance(spec, FewShotSource):
        train = even(dresser, spec.classes, spec.scenes, spec.shots * len(spec.classes))
    else:
        train = tail(dresser, spec)
    loose = {garment: min(POOL, dresser.left(garment) // 2) for garment in GARMENTS}
    left = min(dresser.left(garment) - loose[garment] for garment in spec.classes)
    reserve = even(dresser, spec.classes, spec.scenes, left * len(spec.classes))
    pool = [f for garment, n in loose.items() for f in dresser.pictures(garment, alternating(spec.scenes, n))]
    return {"train": train, **held_out, "reserve": reserve, "pool": pool}
