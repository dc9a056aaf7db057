"""Pixels are what a person sees in a viewer, whatever the format, depth, colour space and transparency. 1 second."""

import base64
import io
from typing import Any

import numpy as np
import PIL.Image
import pytest
from PIL import ImageCms
from PIL.PngImagePlugin import PngInfo

from pipelines.source import decode as module
from pipelines.source.decode import BadImage, decode
from pipelines.source.names import SUFFIXES
from pipelines.source.synthetic_mark import XMP
from tests.source.test_folder import encoded

SMOOTH = np.kron(np.arange(0, 256, 17, dtype=np.uint8).reshape(4, 4), np.ones((8, 8), np.uint8))  # (32, 32)


def coloured() -> PIL.Image.Image:
    return PIL.Image.merge("RGB", [PIL.Image.fromarray(x) for x in (SMOOTH, SMOOTH.T.copy(), 255 - SMOOTH)])


def saved(image: PIL.Image.Image, form: str, **options: Any) -> bytes:
    data = io.BytesIO()
    image.save(data, form, **options)
    return data.getvalue()


@pytest.mark.parametrize(("form", "error"), [("TIFF", 0), ("GIF", 6), ("AVIF", 8), ("BMP", 0), ("WEBP", 0), ("JPEG", 8)])
def test_every_format(form: str, error: int) -> None:
    options = {"lossless": True} if form == "WEBP" else {"quality": 95} if form in ("AVIF", "JPEG") else {}
    image = decode(saved(coloured(), form, **options)).astype(int)
    assert image.shape == (32, 32, 3)
    assert np.abs(image - np.asarray(coloured()).astype(int)).mean() <= error


def test_the_suffixes_of_these_formats() -> None:
    known = PIL.Image.registered_extensions()
    for form in ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "AVIF"):
        assert {suffix for suffix, of in known.items() if of == form} & SUFFIXES
    assert {".jfif", ".jpe", ".tif", ".tiff", ".gif", ".heic", ".heif", ".avif"} <= SUFFIXES


def test_of_a_moving_picture_the_first_frame() -> None:
    frames = [PIL.Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    for form in ("GIF", "WEBP", "TIFF", "PNG"):
        image = decode(saved(frames[0], form, save_all=True, append_images=frames[1:]))
        assert np.abs(image.astype(int) - (255, 0, 0)).max() < 3


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled(form: str) -> None:
    levels = np.linspace(0, 65535, 32 * 32).reshape(32, 32).astype(np.uint16)
    image = decode(saved(PIL.Image.fromarray(levels), form))
    assert np.array_equal(image, np.repeat(np.rint(levels / 257)[..., None].astype(np.uint8), 3, axis=2))


def test_transparency_is_white() -> None:
    layers = np.dstack([np.asarray(coloured()), SMOOTH])
    alpha = SMOOTH[..., None] / 255
    seen = np.asarray(coloured()) * alpha + 255 * (1 - alpha)
    assert np.abs(decode(encoded(layers)).astype(int) - seen).max() <= 1
    grey = PIL.Image.merge("LA", [PIL.Image.new("L", (32, 32), 0), PIL.Image.fromarray(SMOOTH)])
    assert np.array_equal(decode(saved(grey, "PNG"))[..., 0], 255 - SMOOTH)


@pytest.mark.parametrize("form", ["PNG", "GIF"])
def test_a_transparent_colour_of_a_palette_is_white(form: str) -> None:
    image = PIL.Image.fromarray(np.repeat([[0, 1]], 32, axis=0).repeat(16, axis=1).astype(np.uint8), "P")
    image.putpalette([255, 0, 0, 0, 0, 255])
    left, right = decode(saved(image, form, transparency=0))[0, [0, 31]]
    assert (tuple(left), tuple(right)) == ((255, 255, 255), (0, 0, 255))


def test_large_texts_and_profiles_are_no_matter() -> None:
    info = PngInfo()
    info.add_text("notes", "x" * 3 * 2**20, zip=True)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.array_equal(decode(saved(coloured(), "PNG", pnginfo=info)), coloured())
    assert np.array_equal(decode(saved(coloured(), "PNG", icc_profile=profile + bytes(3 * 2**20))), coloured())


def wide_gamut() -> bytes:
    """A profile with the primaries of Display P3, made of that of sRGB."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    primaries = {
        b"rXYZ": (0.51512, 0.2412, -0.00105),
        b"gXYZ": (0.29198, 0.69225, 0.04189),
        b"bXYZ": (0.1571, 0.06657, 0.78407),
    }
    for tag, values in primaries.items():
        entry = data.index(tag)
        at = int.from_bytes(data[entry + 4 : entry + 8], "big")
        for n, value in enumerate(values):
            data[at + 8 + 4 * n : at + 12 + 4 * n] = round(value * 65536).to_bytes(4, "big", signed=True)
    return bytes(data).replace("sRGB".encode("utf-16-be"), "wide".encode("utf-16-be")).replace(b"sRGB b", b"wide b")


@pytest.mark.parametrize("form", ["PNG", "TIFF", "JPEG", "WEBP"])
def test_a_wide_gamut_is_brought_to_srgb(form: str) -> None:
    """The red of sRGB is (234, 51, 35) in Display P3, by the matrices of both."""
    image = PIL.Image.new("RGB", (32, 32), (234, 51, 35))
    seen = decode(saved(image, form, icc_profile=wide_gamut()))
    assert np.abs(seen.astype(int) - (255, 0, 0)).max() <= (14 if form in ("JPEG", "WEBP") else 5)


@pytest.mark.parametrize("profile", [b"no profile", wide_gamut()[:200]])
def test_a_profile_that_cannot_be_read_is_passed_over(profile: bytes) -> None:
    assert np.array_equal(decode(saved(coloured(), "PNG", icc_profile=profile)), coloured())


def test_cmyk_is_converted_as_before() -> None:
    image = coloured().convert("CMYK")
    assert np.array_equal(decode(saved(image, "TIFF")), image.convert("RGB"))


@pytest.mark.parametrize("form", ["TIFF", "AVIF", "GIF"])
def test_a_mark_of_synthetic_origin_is_seen_in_these_formats_too(form: str) -> None:
    data = (
        saved(coloured(), form, tiffinfo={700: XMP.encode()})
        if form == "TIFF"
        else saved(coloured(), form, xmp=XMP.encode())
    )
    if form == "GIF":  # as Adobe writes it: an application extension, and a magic trailer
        trailer = b"\x01" + bytes(range(255, -1, -1)) + b"\0"
        data = data[:-1] + b"\x21\xff\x0bXMP DataXMP" + XMP.encode() + trailer + data[-1:]
    with pytest.raises(BadImage, match="marked as generated"):
        decode(data)


HEIC = base64.b64decode(  # 32 x 32 pixels of (200, 60, 40)
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAX1tZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAACJpbG9jAA"
    "AAAERAAAEAAQAAAAABoQABAAAAAAAAAB4AAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRtAAAAAAABAAAA/WlwcnAA"
    "AADdaXBjbwAAAHZodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQAqQgEBA3AAAAMAkA"
    "AAAwAAAwAeoCCBBZbq5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkAAAATY29scm5jbHgAAQANAAaAAAAAFGlzcGUAAAAAAAAAQAAAAEAA"
    "AAAoY2xhcAAAACAAAAABAAAAIAAAAAH////gAAAAAv///+AAAAACAAAAEHBpeGkAAAAAAwgICAAAABhpcG1hAAAAAAAAAAEAAQWBAgMFhAAAAC"
    "ZtZGF0AAAAGigBrwngOSMkv//2d///+RbuQ/T02rVjqdz8"
)


def test_heic_without_its_plug_in_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "formats", lambda: module.FORMATS)
    with pytest.raises(BadImage, match=r"HEIC, which needs a plug-in of Pillow; pip install pi-heif, or convert it"):
        decode(HEIC)


def test_heic_is_read_where_its_plug_in_is_installed() -> None:
    pytest.importorskip("pi_heif")
    assert np.abs(decode(HEIC).astype(int) - (200, 60, 40)).max() < 12
