"""Real pictures, good and bad, in real archives."""

import io
import tarfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.source.synthetic_mark import png


def picture(number: int, side: int = 8, synthetic: bool = False) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 255, (side, side, 3), dtype=np.uint8)
    return png(pixels, synthetic=synthetic)


def tar(files: Mapping[str, bytes], mode: str = "w") -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return data.getvalue()


def zipped(files: Mapping[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


def parquet(rows: Sequence[Mapping[str, Any]], **options: Any) -> bytes:
    data = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), data, **options)
    return data.getvalue()


def bomb() -> bytes:
    """A PNG of a few hundred bytes that says it has 60,000 x 60,000 pixels."""
    data = bytearray(picture(0))
    data[16:24] = (60_000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    return bytes(data)


# What is wrong with each, and what is said of it.
BAD = {
    "cut": (picture(1002)[:60], "damaged image"),
    "text": (b"no image at all", "not a readable"),
    "none": (b"", "not a readable"),
    "gif": (b"GIF89a" + bytes(100), "not a readable"),
    "pickle": (b"\x80\x04cos\nsystem\n", "not a readable"),
    "made": (picture(1080, synthetic=True), "marked as generated"),
    "bomb": (bomb(), "more than 50000000 pixels; scale it down"),
}
