"""Decoded images of a source, those that were read last: an image is read when it is painted, judged and stored, and once
more for each attempt that is dropped."""

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

from pipelines.records import Image, Item

IMAGES = 256
BYTES = 512 * 2**20


class RecentImages:
    """Reads images, and keeps at most so many of them and so many bytes. Threads share it."""

    def __init__(self, read: Callable[[Item], Image], images: int = IMAGES, size: int = BYTES) -> None:
        self.source, self.images, self.size = read, images, size
        self.kept: OrderedDict[str, Image] = OrderedDict()  # by SHA-256
        self.bytes = 0
        self.lock = Lock()

    def read(self, item: Item) -> Image:
        """The pixels of an image, which nobody may change."""
        with self.lock:
            if item.sha256 in self.kept:
                self.kept.move_to_end(item.sha256)
                return self.kept[item.sha256]
        image = self.source(item)
        with self.lock:
            if item.sha256 not in self.kept:
                self.kept[item.sha256] = image
                self.bytes += image.nbytes
            while len(self.kept) > self.images or self.bytes > self.size:
                self.bytes -= self.kept.popitem(last=False)[1].nbytes
        return image
