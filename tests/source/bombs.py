"""Small archives that were made to fill the memory of whoever reads them."""

import gzip
import io
import struct
import tarfile
import zipfile
from functools import cache

import numpy as np
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq

from tests.source.packed import tar


def repeated_value(size: int = 48 * 2**20, rows: int = 8) -> bytes:
    """Parquet: one value of many MiB, stored once by its dictionary, in every row of one row group."""
    data = io.BytesIO()
    table = pa.table({"image": [bytes(size)] * rows, "label": ["boot"] * rows})
    pq.write_table(table, data, compression="zstd", dictionary_pagesize_limit=2**30)
    return data.getvalue()


def huge_value(size: int = 2**28) -> bytes:
    """Parquet: a value larger than any image may be."""
    data = io.BytesIO()
    pq.write_table(pa.table({"image": [bytes(size)], "label": ["boot"]}), data, compression="zstd")
    return data.getvalue()


def zeros(count: int = 9, size: int = 64 * 2**20) -> bytes:
    """tar.gz: parts of one WebDataset sample, each as large as an image may be."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz", compresslevel=1) as archive:
        for number in range(count):
            member = tarfile.TarInfo(f"train/boot/sample.{number}.png")
            member.size = size
            archive.addfile(member, io.BytesIO(bytes(size)))
    return data.getvalue()


def flat(copies: int = 1, side: int = 7000) -> bytes:
    """tar: PNGs of one colour, with as many pixels as are allowed."""
    data = io.BytesIO()
    PIL.Image.fromarray(np.zeros((side, side, 4), np.uint8)).save(data, "PNG")
    return tar({f"train/boot/{number}.png": data.getvalue() for number in range(copies)})


@cache
def many_entries(count: int = 200_000) -> bytes:
    """zip: a directory of empty files."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for number in range(count):
            archive.writestr(f"train/boot/{number}.png", b"")
    return data.getvalue()


def fewer_declared(archive: bytes) -> bytes:
    """The same zip, whose end says that it has one file."""
    place = archive.rfind(b"PK\5\6")
    larger = archive.rfind(b"PK\6\6", 0, place)
    data = bytearray(archive)
    struct.pack_into("<2H", data, place + 8, 1, 1)
    if larger >= 0:
        struct.pack_into("<2Q", data, larger + 24, 1, 1)
    return bytes(data)


def long_header(size: int = 16 * 2**20) -> bytes:
    """tar.gz: a file whose pax header holds a path of many MiB."""
    record = b"path=" + b"x" * (size - 16) + b"\n"
    length = len(record) + len(str(size)) + 1
    content = f"{length} ".encode() + record
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, len(content)
    padded = header.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % 512)
    return gzip.compress(padded + tar({"train/boot/1.png": b"x"}))
