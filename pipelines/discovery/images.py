"""The images that a discovery looks at: those that the classifier is trained on, held-out ones, and some to compare."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from pipelines.discovery.picture import Picture
from pipelines.errors import SourceError
from pipelines.progress import Progress, step
from pipelines.records import Examples, Image, Item
from pipelines.source.frames import centre, cut
from pipelines.source.source import Source
from pipelines.spec.base import quantity

LEAST = 10  # held-out images of a class; with fewer, a third of its training images is held out
TRAINING, COMPARED = 5000, 300  # most images that are trained on, and of each kind that are taken apart
SIDE = 128  # pixels a side of what a small classifier from scratch sees at most


@dataclass(frozen=True, slots=True)
class Images:
    """Images of both kinds, with their labels; no group label is read."""

    classes: tuple[str, ...]
    train: list[Item]
    held_out: list[Item]


def split(source: Source) -> Images:
    """Training images, and those of validation and test; without enough, a part of the former. Raises SourceError."""
    classes = source.classes
    train = {label: shuffled(source.of(label)) for label in classes}
    held_out = {label: shuffled([*source.of(label, "validation"), *source.of(label, "test")]) for label in classes}
    if min(map(len, held_out.values())) < LEAST:
        held_out = {label: items[: len(items) // 3] for label, items in train.items()}
        train = {label: items[len(items) // 3 :] for label, items in train.items()}
    for label in classes:
        if len(held_out[label]) < LEAST or len(train[label]) < LEAST:
            raise SourceError(
                f"SOURCE: {label} has {quantity(len(source.of(label)), 'training image')}, too few to hold some out; it "
                f"needs {3 * LEAST}, or {LEAST} and as many to validate or test on"
            )
    return Images(classes, even(train, TRAINING), even(held_out, COMPARED))


def shuffled(items: Sequence[Item]) -> list[Item]:
    """In the order of their hashes: the same in whatever form the source lies."""
    return sorted(items, key=lambda item: item.sha256)


def even(items: dict[str, list[Item]], most: int) -> list[Item]:
    """So many at most, as many of each class as of any other where they are cut."""
    share = most // len(items)
    return [item for own in items.values() for item in own[:share]]


def side_of(source: Source, items: Sequence[Item]) -> int:
    """Pixels a side for a classifier from scratch: the median shorter side, SIDE at most, in whole blocks of eight."""
    sides = [min(source.read(item).shape[:2]) for item in items[:: max(1, len(items) // 30)]]
    return max(16, min(SIDE, int(median(sides))) // 8 * 8)


def read(source: Source, items: Sequence[Item], side: int, name: str, progress: Progress) -> list[Image]:
    """The middle of each image, (side, side, 3)."""
    done, images = progress.stage(name, len(items)), list[Image]()
    for item in items:
        step()
        image = source.read(item)
        images.append(cut(image, centre(*image.shape[:2]), side))
        done(1)
    return images


def examples(images: Sequence[Image], items: Sequence[Item]) -> Examples:
    """To train on; without groups."""
    return Examples(images, [item.label for item in items], [None] * len(items))


def pictures(
    images: Sequence[Image], items: Sequence[Item], classes: Sequence[str], name: str, progress: Progress
) -> list[Picture]:
    """At most COMPARED of them, evenly over classes, taken apart."""
    share, counts, chosen = COMPARED // len(classes), dict.fromkeys(classes, 0), []
    for image, item in zip(images, items, strict=True):
        if counts[item.label] < share:
            counts[item.label] += 1
            chosen.append((image, item))
    done, apart = progress.stage(name, len(chosen)), list[Picture]()
    for image, item in chosen:
        step()
        apart.append(Picture.of(item, classes.index(item.label), image))
        done(1)
    return apart
