"""Uploads: what is understood, what is refused, and that nothing in an archive is trusted."""

import io
import tarfile
import zipfile

import numpy as np

from pipelines.synthetic import png


def picture(number: int, side: int = 8, synthetic: bool = False) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 255, (side, side, 3), dtype=np.uint8)
    return png(pixels, synthetic=synthetic)


GOOD = {f"train/{label}/{n}.png": picture(10 * k + n) for k, label in enumerate(("boot", "sneaker")) for n in range(4)}


def tar(files: dict[str, bytes], mode: str = "w") -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return data.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


def parquet(files: dict[str, bytes]) -> bytes:
    rows = [
        {"image": {"bytes": content, "path": name}, "label": name.split("/")[1], "group": "grass"}
        for name, content in files.items()
    ]
