"""A published version with samples as a test wants them, written by what writes versions."""

import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import PIL.Image

from pipelines.records import Image, Mask
from pipelines.store.canonical import canonical
from pipelines.store.object_store import Store
from pipelines.version import rows
from pipelines.version.export.samples import PublishedVersion, published
from pipelines.version.files import description
from pipelines.version.mask_column import box_of, encode_mask
from tests.builders import noise

HOSTILE = (
    "../up",
    "a/b",
    "CON",
    ".hidden",
    "__special__",
    "naïve ☂ \u0627",
    "50% of {it}",
    "x" * 99,
    "\u6f22" * 90,
    "plain",
)


def photo(number: int) -> Image:
    """Wider than high."""
    return noise(number, 40)[:24]


def patch(number: int) -> Mask:
    """An L inside it, in another place each time."""
    mask = photo(number)[..., 0] < 0
    mask[3 : 12 + number % 8, 5 + number % 11 : 20] = True
    mask[3:6, 20:30] = True
    return mask


def row(number: int, label: int, mask: Mask | None, suffix: str = "png", **changes: Any) -> dict[str, Any]:
    data = io.BytesIO()
    PIL.Image.fromarray(photo(number)).save(data, suffix)
    return {
        "image": {"bytes": data.getvalue(), "path": f"{number:08d}-0.{suffix}"},
        "label": label,
        "box": None if mask is None else box_of(mask),
        "mask": None if mask is None else {"bytes": encode_mask(mask), "path": f"{number:08d}-0.mask.png"},
        "index": number,
        "attempt": 0,
        "seed": 2**62 + number,
        "method": "spurious_removal",
        "prompt": "a <boot> \u2603",
        "strength": 0.75,
        "guidance": 4.5,
        "steps": 15,
        "model": "m",
        "scores": '{"quality.contrast": 0.25}',
        # absent in the first samples, so that a loader that infers types from those alone would be wrong
        **{name: f"{name} {number}" if number > 7 else None for name in ("group", "origin", "source_id", "concept")},
        **changes,
    }


def write(
    folder: Path,
    classes: Sequence[str],
    shards: Sequence[Sequence[Mapping[str, Any]]],
    rejected: Sequence[Sequence[Mapping[str, Any]]] = (),
) -> PublishedVersion:
    """A version in a folder, of which it is the root."""
    store, entries = Store.open(folder), []
    for kind, parts in (("data", shards), ("rejected", rejected)):
        for number, part in enumerate(parts):
            path = f"{kind}/train-{number:05d}-of-{len(parts):05d}.parquet"
            data = rows.write_table([dict(line) for line in part], classes)
            store.put(path, data)
            entries.append(description(path, data))
    store.put("README.md", b"---\npretty_name: shoes\n---\n# Shoes\n")
    entries.append(description("README.md", store.get("README.md")))
    store.put("manifest.json", canonical({"name": "shoes", "version": 3, "files": entries}))
    return published(store)


def tree(folder: Path) -> dict[str, str]:
    """Every file by its path, and the hash of its bytes."""
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
