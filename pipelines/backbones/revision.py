"""The recorded revision of a checkpoint: a digest of its files, the same on every device and in every precision."""

import hashlib
from functools import lru_cache
from pathlib import Path

from pipelines.backbones.files import files_read, is_weights, names
from pipelines.progress import with_steps
from pipelines.store.canonical import digest


def revision_of(checkpoint: Path, configuration: Path | None = None) -> str:
    """16 hex digits of the contents of every file that is read of a checkpoint's folder; or of a single file, and of the
    folder of its `configuration`. Raises OSError."""
    if configuration is None:
        return digest(contents(checkpoint))
    texts = {name: value for name, value in contents(configuration).items() if not is_weights(name)}
    return digest({"file": sha256(checkpoint), "config": texts})


def contents(checkpoint: Path) -> dict[str, str]:
    """The sha256 of every file that is read of a checkpoint's folder, by its name. Raises OSError."""
    return {name: sha256(checkpoint / name) for name in files_read(checkpoint, names(checkpoint))}


def sha256(file: Path) -> str:
    """Of a file's contents, which are read again only after a change."""
    status = file.stat()
    return sha256_of(str(file.absolute()), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=4096)
def sha256_of(path: str, _size: int, _mtime_ns: int) -> str:
    with open(path, "rb") as file:
        return with_steps(lambda: hashlib.file_digest(file, "sha256").hexdigest())
