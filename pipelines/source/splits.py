"""Training, validation and test images: which is which."""

import re
from collections.abc import Sequence

from pipelines.records import Item

SPLITS = ("train", "validation", "test")
NAMES = {"training": "train", "val": "validation", "valid": "validation", "dev": "validation", "testing": "test"}
WORD = re.compile(rf"(?<![a-z])({'|'.join([*SPLITS, *NAMES])})(?![a-z])")


def split_in(name: str) -> str | None:
    """The split in a file's name: "data/val-00000.parquet" -> validation; None where there is none."""
    words = WORD.findall(name.lower())
    return NAMES.get(words[-1], words[-1]) if words else None


def splits_of(names: Sequence[str]) -> dict[str, str | None]:
    """The split in each name; none at all when every name has the same one: then splits are not told apart by names."""
    splits = {name: split_in(name) for name in names}
    return splits if len(set(splits.values())) > 1 else dict.fromkeys(names)


def split_by_hash(sha256: str) -> str:
    """The split of an image in a source without splits, by its content: 15 % validation, 15 % test."""
    share = int(sha256[:8], 16) / 16**8
    return "validation" if share < 0.15 else "test" if share < 0.30 else "train"


def split_loose(items: Sequence[Item]) -> dict[str, list[Item]]:
    """Images that came without splits, in splits: by their content, but so that every class is in each if it can be."""
    splits: dict[str, list[Item]] = {split: [] for split in SPLITS}
    of_class: dict[str, list[Item]] = {}
    for item in items:
        of_class.setdefault(item.label, []).append(item)
    for members in of_class.values():
        mine = {split: [item for item in members if split_by_hash(item.sha256) == split] for split in SPLITS}
        for split in SPLITS:
            largest = max(mine.values(), key=len)
            if not mine[split] and len(largest) > 1:
                moved = min(largest, key=lambda item: item.sha256)
                largest.remove(moved)
                mine[split].append(moved)
        for split in SPLITS:
            splits[split] += mine[split]
    return splits
