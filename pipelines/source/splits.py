"""Training, validation and test images: which is which."""

import re
from collections.abc import Sequence

from pipelines.records import Item

SPLITS = ("train", "validation", "test")
NAMES = {"training": "train", "val": "validation", "valid": "validation", "dev": "validation", "testing": "test"}
WORD = re.compile(rf"(?<![a-z])({'|'.join([*SPLITS, *NAMES])})(?![a-z])")


def split_in(name: str) -> str | None:
    """The split that a name says: "data/val-00000.parquet" -> validation. None: it says none."""
    found = WORD.findall(name.lower())
    return NAMES.get(found[-1], found[-1]) if found else None


def splits_of(names: Sequence[str]) -> dict[str, str | None]:
    """The split that each name says; none when all say the same one: then there is nothing to tell apart."""
    said = {name: split_in(name) for name in names}
    return said if len(set(said.values())) > 1 else dict.fromkeys(names)


def held_out(sha256: str) -> str:
    """The split of an image in a source without splits, by its content: 15 % validation, 15 % test."""
    share = int(sha256[:8], 16) / 16**8
    return "validation" if share < 0.15 else "test" if share < 0.30 else "train"


def split_up(items: Sequence[Item]) -> dict[str, list[Item]]:
    """Images that came without splits, in splits: by their content, but so that every class is in each if it can be."""
    splits: dict[str, list[Item]] = {split: [] for split in SPLITS}
    of_class: dict[str, list[Item]] = {}
    for item in items:
        of_class.setdefault(item.label, []).append(item)
    for its in of_class.values():
        mine = {split: [item for item in its if held_out(item.sha256) == split] for split in SPLITS}
        for split in SPLITS:
            largest = max(mine.values(), key=len)
            if not mine[split] and len(largest) > 1:
                moved = min(largest, key=lambda item: item.sha256)
                largest.remove(moved)
                mine[split].append(moved)
        for split in SPLITS:
            splits[split] += mine[split]
    return splits
