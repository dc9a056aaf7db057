"""Recently read images: kept within limits, those that were used last."""

import numpy as np

from pipelines.records import Image, Item
from pipelines.vision.recent_images import RecentImages


def item(name: str) -> Item:
    return Item(f"{name}.png", name, "boot", None)


def reads(images: int, size: int) -> tuple[RecentImages, list[str]]:
    names: list[str] = []

    def read(one: Item) -> Image:
        names.append(one.sha256)
        return np.full((2, 2, 3), len(names), np.uint8)

    return RecentImages(read, images, size), names


def test_an_image_is_read_once_while_it_is_kept() -> None:
    recent, names = reads(images=2, size=1000)
    for name in "abaca":  # b is the one that was used longest ago
        recent.read(item(name))
    assert "".join(names) == "abc"
    recent.read(item("b"))
    assert "".join(names) == "abcb"


def test_bytes_are_bounded_and_an_image_larger_than_them_is_still_read() -> None:
    recent, names = reads(images=10, size=24)
    for name in "abcab":
        recent.read(item(name))
    assert "".join(names) == "abcab"
    assert recent.bytes == 24
    small, _ = reads(images=10, size=5)
    assert small.read(item("a")).shape == (2, 2, 3)
    assert (len(small.kept), small.bytes) == (0, 0)
