"""Features of a source's images: a row for each, computed once and stored, in parts, for every process of every version.

A mask, a judge's probability, an embedding: whatever a network says of an image differs from card to card in its last bits.
What one process has computed all others read.
"""

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.progress import Stage
from pipelines.records import Item
from pipelines.store.artifacts import Artifact
from pipelines.store.canonical import canonical
from pipelines.store.version_artifacts import Facts

FACTS = "facts.json"  # the last file; it names the images
PART = 1024  # images of a file, for good: what is stored is read by it. A process that is killed loses no more
BATCH = 64  # images in memory at a time

Compute = Callable[[Sequence[Item]], NDArray[Any]]  # a row for each of at most BATCH images


def image_features(
    artifact: Artifact, facts: Facts, items: Sequence[Item], compute: Compute, begin: Callable[[], Stage]
) -> NDArray[Any]:
    """The rows of some images, at least one. Parts that are in the store are read, the others computed; of several that
    compute them the first writer wins. `begin` begins a stage of the progress where anything is to be computed."""
    complete, stage, parts = artifact.complete, None, []
    for number, start in enumerate(range(0, len(items), PART)):
        file = f"{number:05d}.npz"
        if not complete and not artifact.has(file):
            stage, rows = stage or begin(), []
            for first in range(start, min(start + PART, len(items)), BATCH):
                batch = items[first : min(first + BATCH, start + PART)]
                rows.append(compute(batch))
                stage(len(batch))
            artifact.publish({file: encode(np.concatenate(rows))})
        parts.append(decode(artifact.get(file)))
    if not complete:
        artifact.publish({FACTS: canonical(facts())})
    return np.concatenate(parts)


def stored_features(artifact: Artifact) -> tuple[list[str], NDArray[Any]]:
    """The images (SHA-256) of a complete artifact, and their rows."""
    images = [str(sha256) for sha256 in artifact.json(FACTS)["images"]]
    files = [f"{number:05d}.npz" for number in range(-(-len(images) // PART))]
    return images, np.concatenate([decode(artifact.get(file)) for file in files])


def encode(rows: NDArray[Any]) -> bytes:
    """Compressed: masks are mostly alike."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, rows=rows)
    return buffer.getvalue()


def decode(data: bytes) -> NDArray[Any]:
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        rows: NDArray[Any] = file["rows"]
        return rows
