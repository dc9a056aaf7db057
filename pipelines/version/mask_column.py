"""Where the labelled object stands in a stored image, as the rows of a version keep it: a 1-bit PNG, and a bounding box."""

import io

import PIL.Image

from pipelines.records import Mask
from pipelines.regions import bounds


def box_of(mask: Mask) -> list[int]:
    """The bounding box of a mask that is not empty, in pixels: left, top, width and height."""
    rows, columns = bounds(mask)
    return [columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start]


def encode_mask(mask: Mask) -> bytes:
    """A mask as a PNG of one bit a pixel, white inside. Same mask, same bytes."""
    data = io.BytesIO()
    PIL.Image.fromarray(mask).save(data, "PNG")
    return data.getvalue()
