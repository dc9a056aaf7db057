"""The files below a local folder, for reading it in place and for packing it: the same ones. Standard library alone."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from pipelines.source.names import clean, hidden

LINK_OUT = "is a link out of the source's folder; copy the file into it"


def refusal(root: Path, path: Path) -> str | None:
    """Why a file may not be read, None where it may: it must be a regular one that lies in `root`, links followed."""
    try:
        if not path.resolve().is_relative_to(root.resolve()):
            return LINK_OUT
        if not stat.S_ISREG(path.stat().st_mode):
            return "cannot be read (no file); make it a readable file, or remove it"
    except (OSError, RuntimeError) as error:  # RuntimeError: a link to itself
        return unreadable(error)
    return None


def unreadable(error: Exception) -> str:
    return f"cannot be read ({type(error).__name__}); make it a readable file, or remove it"


def link_refusal(root: Path, folder: Path) -> str | None:
    """Why a folder that is a link is not entered."""
    real = folder.resolve()
    if not real.is_relative_to(root.resolve()):
        return LINK_OUT
    return "is a link to a folder that it lies in; remove it" if folder.parent.resolve().is_relative_to(real) else None


def walk(root: Path, deep: bool = True, below: str = "") -> Iterator[tuple[str, str | None]]:
    """Names of all files, sorted by their parts, each with the reason why it cannot be read or None. Links inside the folder
    are followed; hidden files left out; a folder without files is named with a "/" at its end."""
    try:
        entries = sorted(os.scandir(root / below), key=lambda entry: entry.name)
    except OSError as error:
        yield below.rstrip("/"), unreadable(error)
        return
    entries = [entry for entry in entries if not hidden(clean(entry.name))]
    if below and not entries:
        yield below, None
    for entry in entries:
        name = below + entry.name
        if not (root / name).is_dir() if entry.is_symlink() else not entry.is_dir():
            regular = not entry.is_symlink() and entry.is_file()
            yield name, None if regular else refusal(root, root / name)
        elif reason := entry.is_symlink() and link_refusal(root, root / name):
            yield name, reason
        elif deep:
            yield from walk(root, deep, f"{name}/")
