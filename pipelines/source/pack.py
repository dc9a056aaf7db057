"""Packing a folder of images for an upload. Imports next to nothing: it runs where only the client is installed."""

import tarfile
from pathlib import Path
from typing import IO

from pipelines.source.names import MAX_FILE, TOO_LARGE
from pipelines.source.tree import walk

REASON = "COUNTERPOISE.reason"  # in the header of a file that could not be packed


def pack(folder: Path, file: IO[bytes]) -> None:
    """A folder as a tar, in the order of its paths: the files that are read in place, links inside it as what they lead to.
    What cannot be read is there by its name, with the reason, so that whoever reads the tar says so."""
    with tarfile.open(fileobj=file, mode="w", dereference=True) as archive:
        for name, refusal in walk(folder):
            large = refusal is None and (folder / name).stat().st_size > MAX_FILE
            if reason := TOO_LARGE if large else refusal:
                mark = tarfile.TarInfo(name)
                mark.type, mark.linkname, mark.pax_headers = tarfile.SYMTYPE, "nowhere", {REASON: reason}
                archive.addfile(mark)
            elif not name.endswith("/"):
                archive.add(folder / name, arcname=name, recursive=False)
