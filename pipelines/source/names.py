"""Names of files, as people and systems write them. Standard library alone: the client packs by them, too."""

import re
import unicodedata
from pathlib import PurePosixPath

SUFFIXES = frozenset(
    [".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif", ".heic", ".heif"]
)  # of images, in lower case
MAX_FILE = 64 * 2**20  # bytes of one image
TOO_LARGE = f"larger than {MAX_FILE // 2**20} MiB; scale it down"
LEFT_BEHIND = frozenset(
    ["__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "$recycle.bin", "system volume information", "@eadir"]
)  # by operating systems, in lower case
DOCUMENT = re.compile(r"(readme|licen[cs]e|citation)(\.\w+)?", re.IGNORECASE)
PLAIN = re.compile(r"\w[\w .-]*(/\w[\w .-]*)*", re.ASCII)  # paths that are clean, at a glance: most of them
UNREADABLE = "\ufffd"  # stands for what is no valid Unicode


def valid(text: str) -> str:
    """A text whose lone surrogates, which are no characters, are replaced."""
    return re.sub(r"[\ud800-\udfff]", UNREADABLE, text)


def clean(path: str) -> str:
    """A path with `/` between its names, Windows' `\\` too, without `./`, in valid and composed (NFC) Unicode.

    Bytes that are no UTF-8 come out of folders and archives as lone surrogates.
    """
    if PLAIN.fullmatch(path):
        return path
    cleaned = unicodedata.normalize("NFC", PurePosixPath(valid(path).replace("\\", "/")).as_posix())
    return path if cleaned == path else cleaned


def hidden(path: str) -> bool:
    """Whether a file, by its clean path, is hidden, an operating system's (.DS_Store, Thumbs.db) or about the data (README):
    no image, and no problem."""
    parts = path.split("/")
    if any((part.startswith(".") and part not in (".", "..")) or part.lower() in LEFT_BEHIND for part in parts):
        return True
    return DOCUMENT.fullmatch(parts[-1]) is not None
