"""From the bytes of one image, never trusted, to its pixels."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import PIL.Image
from PIL import ExifTags, ImageOps, PngImagePlugin

from pipelines.records import Image
from pipelines.source.colour import displayed
from pipelines.source.synthetic_mark import is_synthetic

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "AVIF")
MAX_PIXELS = 50_000_000
SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations of images whose width is the upright one's height


# Profiles of printers and the notes of editors are larger than Pillow's limit, under which it refuses the image.
PngImagePlugin.MAX_TEXT_CHUNK = 16 * 2**20  # bytes, unpacked
PngImagePlugin.MAX_TEXT_MEMORY = 64 * 2**20


class BadImage(ValueError):
    """What is wrong with an image, and the remedy."""


def is_heic(data: bytes) -> bool:
    return data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")


@cache
def formats() -> tuple[str, ...]:
    """The formats that are read: HEIC, too, where one of the plug-ins for it is installed."""
    for name in ("pi_heif", "pillow_heif"):
        if find_spec(name):
            import_module(name).register_heif_opener()
            return (*FORMATS, "HEIF")
    return FORMATS


def media_type(data: bytes) -> str:
    """The media type of an encoded image: image/png."""
    with PIL.Image.open(io.BytesIO(data), formats=FORMATS) as image:
        return str(image.get_format_mimetype())


@contextmanager
def opened(data: bytes) -> Iterator[PIL.Image.Image]:
    """An image of an allowed format, its header checked, no pixel decoded. Whatever is raised inside is raised as
    BadImage."""
    try:
        with PIL.Image.open(io.BytesIO(data), formats=formats()) as image:
            if image.width * image.height > MAX_PIXELS:
                raise BadImage(f"{image.width}x{image.height} pixels: more than {MAX_PIXELS}; scale it down")
            yield image
    except BadImage:
        raise
    except MemoryError:
        raise BadImage("needs more memory than there is; scale it down") from None
    except PIL.Image.DecompressionBombError:
        raise BadImage(f"more than {MAX_PIXELS} pixels; scale it down") from None
    except PIL.UnidentifiedImageError:
        if is_heic(data):
            raise BadImage("HEIC, which needs a plug-in of Pillow; pip install pi-heif, or convert it") from None
        raise BadImage(f"not a readable {', '.join(FORMATS)} image; convert it") from None
    except Exception as error:  # a decoder may raise anything on damaged bytes
        raise BadImage(f"damaged image ({error}); replace it") from None


def upright(image: PIL.Image.Image, data: bytes, allow_synthetic: bool) -> PIL.Image.Image:
    """A loaded image, upright and in RGB. A PNG may carry its mark after its pixels."""
    if not allow_synthetic and is_synthetic(image, data):
        raise BadImage(
            "marked as generated: models that eat their own images collapse; remove it, or give "
            "source.allow_synthetic: true in a spec"
        )
    ImageOps.exif_transpose(image, in_place=True)  # in place: no copy of an image that is upright
    return displayed(image)


def load(data: bytes, *, allow_synthetic: bool) -> PIL.Image.Image:
    """An image of an allowed format, upright and in RGB, its header checked before a pixel is decoded. Raises BadImage."""
    with opened(data) as image:
        image.load()
        return upright(image, data, allow_synthetic)


def decode(data: bytes, *, allow_synthetic: bool = False) -> Image:
    """The pixels of one image. Raises BadImage."""
    return np.asarray(load(data, allow_synthetic=allow_synthetic))


def upright_size(data: bytes, *, allow_synthetic: bool) -> tuple[int, int]:
    """Width and height of an upright image that `load` can read. Raises BadImage as `load` does.

    A JPEG is decoded at an eighth of its size: that reads all of its data, too, and takes half of the time.
    """
    try:
        with opened(data) as image:
            width, height = image.size
            if image.draft(image.mode, (1, 1)) is None:
                image.load()
                return upright(image, data, allow_synthetic).size
            image.load()
            sideways = image.getexif().get(ExifTags.Base.Orientation) in SIDEWAYS
            upright(image, data, allow_synthetic)
            return (height, width) if sideways else (width, height)
    except BadImage:
        return load(data, allow_synthetic=allow_synthetic).size  # what is wrong with it at its own size
