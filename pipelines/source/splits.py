"""The splits of a source, training, validation and test: by the names of folders and files, or by content."""

import re
from collections.abc import Sequence

from pipelines.records import Item

SPLITS = ("train", "validation", "test")
KEYWORDS = {  # Hugging Face's, in lower case
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
SPLIT_OF = {word: split for split, words in KEYWORDS.items() for word in words}
WORD = re.compile(rf"(?<![a-z])({'|'.join(SPLIT_OF)})(?![a-z])")
FOLDER = re.compile(rf"({'|'.join(SPLIT_OF)})([-_. ]?(set|images|data|\d+))?")
HELD_OUT = 15  # percent of each class for validation, and as many for test, in a source without splits


def split_in(name: str) -> str | None:
    """The split in a file's name: "data/val-00000.parquet" -> validation; None where there is none."""
    words = WORD.findall(name.lower())
    return SPLIT_OF[words[-1]] if words else None


def split_of_folder(name: str) -> str | None:
    """The split that a folder's whole name is: "Valid" -> validation, "test_set" -> test, "trains" -> None."""
    match = FOLDER.fullmatch(name.lower())
    return SPLIT_OF[match[1]] if match else None


def splits_of(names: Sequence[str]) -> dict[str, str | None]:
    """The split in each name; None for all when every name has the same one, since then names do not distinguish splits."""
    splits = {name: split_in(name) for name in names}
    return splits if len(set(splits.values())) > 1 else dict.fromkeys(names)


def by_class(items: Sequence[Item]) -> list[list[Item]]:
    """The items of each class, in the order of their hashes: an order that stays as others come between them."""
    classes: dict[str, list[Item]] = {}
    for item in sorted(items, key=lambda item: item.sha256):
        classes.setdefault(item.label, []).append(item)
    return list(classes.values())


def part(count: int, percent: float) -> int:
    """The rounded percentage of a class of so many images, and at least one."""
    return max(1, int((percent * count + 50) // 100))


def split_loose(items: Sequence[Item]) -> dict[str, list[Item]]:
    """Split images that have no split, class by class: 15 % for validation, those whose hashes are the first, and 15 % for
    test, the last. A class of one image trains, of two has one for validation.

    An image that comes or goes moves at most one other of its class into or out of each of the two.
    """
    splits: dict[str, list[Item]] = {split: [] for split in SPLITS}
    for members in by_class(items):
        count = part(len(members), HELD_OUT)
        first, last = min(count, len(members) - 1), count if len(members) > 2 else 0
        splits["validation"] += members[:first]
        splits["train"] += members[first : len(members) - last]
        splits["test"] += members[len(members) - last :]
    return splits


def cut_validation(train: Sequence[Item], share: float) -> tuple[list[Item], list[Item]]:
    """Training images without, and with, this share of each class that is held out for validation: the first hashes."""
    rest, validation = [], []
    for members in by_class(train):
        count = min(part(len(members), 100 * share), len(members) - 1)
        validation += members[:count]
        rest += members[count:]
    return sorted(rest, key=lambda item: item.id), sorted(validation, key=lambda item: item.id)
