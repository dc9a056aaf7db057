"""One pass over the images of a source: of each, its hash, thumbnail, embedding, size and contrast are kept."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import imagehash
import numpy as np
import PIL.Image
from numpy.typing import NDArray

from pipelines.inspection.embedder import Embedder
from pipelines.inspection.findings import SplitItem
from pipelines.progress import Progress
from pipelines.records import Image
from pipelines.source.source import Source
from pipelines.source.splits import SPLITS

BATCH = 32  # images in memory at a time
SIDE = 32  # pixels a side at which contrast is measured: grain does not count
THUMBNAIL = 16  # pixels a side
LARGEST = 512  # pixels a side that an image is shrunk to for its hash and embedding


@dataclass(frozen=True)
class Measurements:
    """Of n images, in the order of `items`."""

    items: tuple[SplitItem, ...]
    signs: NDArray[np.float32]  # (n, 64), the bits of the perceptual hash as -1/8 and 1/8: unit vectors
    thumbnails: NDArray[np.uint8]  # (n, 768), 16 x 16 pixels in RGB, whatever the image's shape
    embeddings: NDArray[np.float32]  # (n, width), unit vectors
    sizes: NDArray[np.int64]  # (n, 2), height and width in pixels
    contrasts: NDArray[np.float64]  # (n,), 0..1

    def __len__(self) -> int:
        return len(self.items)


def split_items(source: Source) -> tuple[SplitItem, ...]:
    return tuple(SplitItem(split, item) for split in SPLITS for item in source.splits[split])


def batches(items: Sequence[SplitItem]) -> Iterator[Sequence[SplitItem]]:
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]


def reduced(image: Image) -> PIL.Image.Image:
    """An image of LARGEST pixels a side at most."""
    picture = PIL.Image.fromarray(image)
    picture.thumbnail((LARGEST, LARGEST), PIL.Image.Resampling.BOX)
    return picture


def signs(picture: PIL.Image.Image) -> NDArray[np.float32]:
    """The 64 bits of the perceptual hash (pHash) as a unit vector: of two, (1 - product) * 32 is the Hamming distance."""
    return np.where(imagehash.phash(picture).hash.reshape(-1), 1 / 8, -1 / 8).astype(np.float32)


def squeezed(picture: PIL.Image.Image, side: int) -> Image:
    """All of a picture in (side, side, 3)."""
    return np.asarray(picture.resize((side, side), PIL.Image.Resampling.BOX))


def contrast(picture: PIL.Image.Image) -> float:
    """Of the most contrasted channel: standard deviation, 0..1."""
    return float(squeezed(picture, SIDE).std(axis=(0, 1)).max() / 255)


def measure(source: Source, embed: Embedder, progress: Progress) -> Measurements:
    """Read every image of the splits once."""
    items = split_items(source)
    done = progress.stage("images", len(items))
    hashes, thumbnails, embeddings, sizes, contrasts = [], [], [], [], []
    for batch in batches(items):
        pictures = []
        for one in batch:
            image = source.read(one.item)
            sizes.append(image.shape[:2])
            pictures.append(reduced(image))
        hashes += [signs(picture) for picture in pictures]
        thumbnails += [squeezed(picture, THUMBNAIL).reshape(-1) for picture in pictures]
        contrasts += [contrast(picture) for picture in pictures]
        embeddings.append(embed([np.asarray(picture) for picture in pictures]))
        done(len(batch))
    return Measurements(
        items,
        np.stack(hashes),
        np.stack(thumbnails),
        np.concatenate(embeddings),
        np.array(sizes, np.int64),
        np.array(contrasts),
    )
