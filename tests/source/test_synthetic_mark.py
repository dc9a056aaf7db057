"""The mark of synthetic origin: in the file, where IPTC says, and found again wherever it may stand."""

import io
import struct
import zlib
from xml.etree import ElementTree

import numpy as np
import PIL.Image
import pytest

from pipelines.source.decode import decode
from pipelines.source.synthetic_mark import XMP, is_synthetic, png
from tests.builders import noise

IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


def opened(data: bytes) -> PIL.Image.Image:
    return PIL.Image.open(io.BytesIO(data))


def mark_last(data: bytes) -> bytes:
    """The same PNG with its text after its pixels, as some tools write it."""
    start = data.index(b"iTXt") - 4
    end = start + 12 + struct.unpack(">I", data[start : start + 4])[0]
    last = data.index(b"IEND") - 4
    return data[:start] + data[end:last] + data[start:end] + data[last:]


def test_the_mark_is_the_iptc_digital_source_type_in_xmp() -> None:
    packet = ElementTree.fromstring(opened(png(noise(0), synthetic=True)).info["xmp"])
    assert [node.get(IPTC) for node in packet.iter() if node.get(IPTC)] == [GENERATED]


def test_the_mark_leaves_the_pixels_alone() -> None:
    image = noise(0)
    for synthetic in (True, False):
        with opened(png(image, synthetic=synthetic)) as read:
            assert np.array_equal(np.asarray(read), image)
            assert is_synthetic(read) == synthetic


def test_the_same_pixels_are_the_same_bytes() -> None:
    assert png(noise(0), synthetic=True) == png(noise(0), synthetic=True)
    assert png(noise(0), synthetic=True) != png(noise(0), synthetic=False)


@pytest.mark.parametrize("form", ["JPEG", "WEBP", "PNG", "late PNG"])
def test_a_marked_image_is_no_real_one_in_any_format(form: str) -> None:
    data = io.BytesIO()
    if "PNG" in form:
        data.write(png(noise(0), synthetic=True))
    else:
        PIL.Image.fromarray(noise(0)).save(data, form, xmp=XMP.encode())
    content = mark_last(data.getvalue()) if form == "late PNG" else data.getvalue()
    with pytest.raises(
        ValueError, match=r"marked as generated: .*remove it, or give source\.allow_synthetic: true in a spec"
    ):
        decode(content)
    assert decode(content, allow_synthetic=True).shape == (32, 32, 3)


def test_other_metadata_is_no_mark() -> None:
    data = io.BytesIO()
    PIL.Image.fromarray(noise(0)).save(data, "JPEG", xmp=XMP.replace("trainedAlgorithmicMedia", "digitalCapture").encode())
    assert decode(data.getvalue()).shape == (32, 32, 3)


def test_moving_the_mark_keeps_a_valid_png() -> None:
    """The helper above must not be what makes the late mark be refused."""
    moved = mark_last(png(noise(0), synthetic=True))
    assert moved.index(b"IDAT") < moved.index(b"iTXt") < moved.index(b"IEND")
    start = moved.index(b"iTXt")
    size = struct.unpack(">I", moved[start - 4 : start])[0]
    assert struct.unpack(">I", moved[start + 4 + size : start + 8 + size])[0] == zlib.crc32(moved[start : start + 4 + size])
    assert np.array_equal(decode(moved, allow_synthetic=True), noise(0))
