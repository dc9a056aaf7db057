"""The splits of a source, training, validation and test: by file names, or by content."""

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
    """The split in each name; None for all when every name has the same one, since then names do not distinguish splits."""
    splits = {name: split_in(name) for name in names}
    return splits if len(set(splits.values())) > 1 else dict.fromkeys(names)


def split_by_hash(sha256: str) -> str:
    """The split of an image in a source without splits, by its content: 15 % validation, 15 % test."""
    share = int(sha256[:8], 16) / 16**8
    return "validation" if share < 0.15 else "test" if share < 0.30 else "train"


def split_loose(items: Sequence[Item]) -> dict[str, list[Item]]:
    """Split images that have no split, by content; every class is in every split, if it has enough images."""
    splits: dict[str, list[Item]] = {split: [] for split in SPLITS}
    of_class: dict[str, list[Item]] = {}
    for item in items:
        of_class.setdefault(item.label, []).append(item)
    for members in of_class.values():
        by_split = {split: [item for item in members if split_by_hash(item.sha256) == split] for split in SPLITS}
        for split in SPLITS:
            largest = max(by_split.values(), key=len)
            if not by_split[split] and len(largest) > 1:
                moved = min(largest, key=lambda item: item.sha256)
                largest.remove(moved)
                by_split[split].append(moved)
        for split in SPLITS:
            splits[split] += by_split[split]
    return splits
