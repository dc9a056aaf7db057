"""Where the labelled object stands in a stored image, as the rows of a version keep it: a 1-bit PNG, and a bounding box."""

import io

import PIL.Image

from pipelines.records import Mask
from pipelines.regions import bounds
from pipelines.spec import ImageVariation, MethodSpec


def object_mask(region: Mask | None, method: MethodSpec) -> Mask | None:
    """The object's mask, of the region that was repainted for it: where the surroundings were, it is what they leave. None
    where that is nothing, or the whole image."""
    if region is None:
        return None
    if isinstance(method, ImageVariation) and method.repaint == "surroundings":
        region = ~region
    return region if region.any() and not region.all() else None


def box_of(mask: Mask) -> list[int]:
    """The bounding box of a mask that is not empty, in pixels: left, top, width and height."""
    rows, columns = bounds(mask)
    return [columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start]


def encode_mask(mask: Mask) -> bytes:
    """A mask as a PNG of one bit a pixel, white inside. Same mask, same bytes."""
    data = io.BytesIO()
    PIL.Image.fromarray(mask).save(data, "PNG")
    return data.getvalue()
