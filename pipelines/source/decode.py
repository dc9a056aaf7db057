"""From the bytes of one image, never trusted, to its pixels."""

import io

import numpy as np
import PIL.Image
from PIL import ImageOps

from pipelines.records import Image
from pipelines.source.synthetic_mark import is_synthetic

FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
MAX_FILE = 64 * 2**20  # bytes of one image
MAX_PIXELS = 50_000_000


class BadImage(ValueError):
    """What is wrong with an image, and the remedy."""


def media_type(data: bytes) -> str:
    """The media type of an encoded image: image/png."""
    with PIL.Image.open(io.BytesIO(data), formats=FORMATS) as image:
        return str(image.get_format_mimetype())


def load(data: bytes, *, allow_synthetic: bool) -> PIL.Image.Image:
    """An image of an allowed format, upright and in RGB, its header checked before a pixel is decoded. Raises BadImage."""
    try:
        with PIL.Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise BadImage(f"{image.width}x{image.height} pixels: more than {MAX_PIXELS}; scale it down")
            if image.mode.startswith("I"):
                raise BadImage("more than 8 bits a channel; save it with 8")
            image.load()  # a PNG may carry its mark after its pixels
            if not allow_synthetic and is_synthetic(image):
                raise BadImage(
                    "marked as generated: models that eat their own images collapse; remove it, or allow_synthetic"
                )
            ImageOps.exif_transpose(image, in_place=True)  # in place: no copy of an image that is upright
            return image if image.mode == "RGB" else image.convert("RGB")
    except BadImage:
        raise
    except MemoryError:
        raise BadImage("needs more memory than there is; scale it down") from None
    except PIL.Image.DecompressionBombError:
        raise BadImage(f"more than {MAX_PIXELS} pixels; scale it down") from None
    except PIL.UnidentifiedImageError:
        raise BadImage(f"not a readable {', '.join(FORMATS)} image; convert it") from None
    except Exception as error:  # a decoder may raise anything on damaged bytes
        raise BadImage(f"damaged image ({error}); replace it") from None


def decode(data: bytes, *, allow_synthetic: bool = False) -> Image:
    """The pixels of one image. Raises BadImage."""
    return np.asarray(load(data, allow_synthetic=allow_synthetic))
