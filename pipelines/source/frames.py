"""Frames: the square part of a photograph that a model works on, brought to the model's resolution, and brought back.

A small region's frame may be brought to a smaller side than the resolution, one of a few: it costs less to paint.

A frame may reach beyond the photograph, whose pixels are mirrored there.
"""

from collections.abc import Sequence
from math import ceil

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from pipelines.records import Frame, Image, Mask
from pipelines.regions import bounds, paste

CONTEXT = 0.25  # of the longer side of a region: what its frame has around it on each side
PARTS = 4  # sides of frames are multiples of the resolution's part
MULTIPLE = 64  # pixels that they are rounded up to a multiple of: an autoencoder's 8, times a UNet's three halvings
SMALL = 256, 16  # the same, at resolutions below the first: of models with smaller autoencoders


def centre(height: int, width: int) -> Frame:
    """The largest square inside an image, in its middle."""
    side = min(height, width)
    return Frame((height - side) // 2, (width - side) // 2, side)


def enclosing(height: int, width: int) -> Frame:
    """The smallest square around an image."""
    side = max(height, width)
    return Frame((height - side) // 2, (width - side) // 2, side)


def around(mask: Mask, overview: Frame, height: int, width: int, resolution: int) -> Frame:
    """The frame of a region, with context, of an image (height, width); the region's mask is that of its `overview`.

    It has no fewer pixels than `resolution` a side where the image has them, since more would be invented. It is moved
    inside the image, and reaches beyond it only where the region with its context is longer than the image.
    """
    scale = overview.side / len(mask)
    parts = bounds(mask)
    longer = max(part.stop - part.start for part in parts) * scale
    least = min(resolution, height, width)
    side = min(max(round(longer * (1 + 2 * CONTEXT)), least), max(height, width))
    starts = []
    for part, start, length in zip(parts, (overview.top, overview.left), (height, width), strict=True):
        first, last = (min(max(0, start + end * scale), length) for end in (part.start, part.stop))
        nearest = min(max(0, round((first + last - side) / 2)), length - side)
        starts.append(nearest if side <= length else (length - side) // 2)
    return Frame(starts[0], starts[1], side)


def sides(resolution: int, smallest: float) -> list[int]:
    """The sides, in pixels, that frames are brought to, smallest first: shares of the resolution from `smallest` to 1."""
    multiple = MULTIPLE if resolution >= SMALL[0] else SMALL[1]
    shares = [part / PARTS for part in range(1, PARTS + 1) if part / PARTS >= smallest]
    return sorted({min(resolution, ceil(resolution * share / multiple) * multiple) for share in shares})


def side_of(mask: Mask, overview: Frame, height: int, width: int, sides: Sequence[int]) -> int:
    """The smallest of the sides at which the frame `around` a region keeps all pixels of its image; else the largest."""
    least = around(mask, overview, height, width, sides[0]).side
    return next((side for side in sides if side >= least), sides[-1])


def mirrored(start: int, count: int, length: int) -> NDArray[np.int64]:
    """The indices start .. start + count along an axis of `length` pixels that is mirrored beyond its ends."""
    place = np.arange(start, start + count) % (2 * length)
    return np.where(place >= length, 2 * length - 1 - place, place)


def resized(image: Image, side: int) -> Image:
    """A square image at another resolution."""
    if len(image) == side:
        return image
    return np.asarray(PIL.Image.fromarray(image).resize((side, side), PIL.Image.Resampling.LANCZOS))


def cut(image: Image, frame: Frame, resolution: int) -> Image:
    """The part of an image in the frame: uint8 (resolution, resolution, 3)."""
    height, width = image.shape[:2]
    if frame == Frame(0, 0, resolution) and height == width == resolution:
        return image
    bottom, right = frame.top + frame.side, frame.left + frame.side
    if min(frame.top, frame.left) >= 0 and bottom <= height and right <= width:
        return resized(image[frame.top : bottom, frame.left : right].copy(), resolution)  # three times as fast as by indices
    rows, columns = mirrored(frame.top, frame.side, height), mirrored(frame.left, frame.side, width)
    return resized(image[rows[:, None], columns], resolution)


def inside(frame: Frame, height: int, width: int, count: int) -> Mask:
    """Which of a frame's pixels, (count, count), lie in its image."""
    axes = []
    for start, length in ((frame.top, height), (frame.left, width)):
        middles = start + (np.arange(count) + 0.5) * frame.side / count
        axes.append((middles >= 0) & (middles < length))
    covered: Mask = axes[0][:, None] & axes[1]
    return covered


def moved(mask: Mask, frame: Frame, other: Frame, height: int, width: int, side: int | None = None) -> Mask:
    """A mask (n, n) of one frame of an image as that of another, (side, side), None for n: mirrored as the image is beyond
    its borders, and false where the first frame does not reach."""
    side, count, axes = side or len(mask), len(mask), []
    if frame == other and frame.side == height == width and side == count:
        return mask
    for start, begin, length in ((frame.top, other.top, height), (frame.left, other.left, width)):
        place = (begin + (np.arange(side) + 0.5) * other.side / side) % (2 * length)
        place = np.where(place >= length, 2 * length - place, place)
        axes.append(np.floor((place - start) * count / frame.side).astype(np.int64))
    known = [(axis >= 0) & (axis < count) for axis in axes]
    rows, columns = (axis.clip(0, count - 1) for axis in axes)
    placed: Mask = mask[rows[:, None], columns] & known[0][:, None] & known[1]
    return placed


def within(painted: Image, frame: Frame, height: int, width: int) -> Image:
    """The part of a painted frame that lies in its image (height, width)."""
    scale = len(painted) / frame.side
    rows, columns = (
        slice(max(0, round(-start * scale)), min(len(painted), round((length - start) * scale)))
        for start, length in ((frame.top, height), (frame.left, width))
    )
    return painted[rows, columns]


def mask_within(mask: Mask, frame: Frame, height: int, width: int) -> Mask:
    """The same part of a frame's mask; it has (height, width) pixels, as what `within` made has."""
    top, left = (max(0, round(-start * len(mask) / frame.side)) for start in (frame.top, frame.left))
    return mask[top : top + height, left : left + width]


def at_side(mask: Mask, side: int) -> Mask:
    """A square mask at another resolution."""
    place = (np.arange(side) * len(mask) // side).astype(np.int64)
    placed: Mask = mask[place[:, None], place]
    return placed


def overlap(frame: Frame, height: int, width: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The part of an image (height, width) that its frame covers: rows and columns in the image, and in the frame."""
    top, left = max(0, frame.top), max(0, frame.left)
    bottom, right = min(height, frame.top + frame.side), min(width, frame.left + frame.side)
    place = slice(top, bottom), slice(left, right)
    return place, (slice(top - frame.top, bottom - frame.top), slice(left - frame.left, right - frame.left))


def put_back(image: Image, painted: Image, frame: Frame, mask: Mask) -> Image:
    """The image with the painted frame in its place: inside the frame's `mask`; every other pixel is the image's own."""
    height, width = image.shape[:2]
    if frame == Frame(0, 0, len(painted)) and height == width == len(painted):
        return painted
    part = painted
    if len(painted) != frame.side:
        part = paste(cut(image, frame, frame.side), resized(painted, frame.side), at_side(mask, frame.side))
    place, inner = overlap(frame, height, width)
    result = image.copy()
    result[place] = part[inner]
    return result


def put_back_mask(mask: Mask, frame: Frame, height: int, width: int) -> Mask:
    """The mask of a frame as that of its image, (height, width): where `put_back` puts what is painted there. False outside
    the frame."""
    place, inner = overlap(frame, height, width)
    result = np.zeros((height, width), dtype=np.bool_)
    result[place] = at_side(mask, frame.side)[inner]
    return result
