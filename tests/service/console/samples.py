"""A version whose samples lie in the store as workers write them, made of a few rows, with names that mean harm."""

import io
import json
from typing import Any

import numpy as np
import PIL.Image

from pipelines.report.embedding_map import FILE, EmbeddingMap, encode
from pipelines.store import keys
from pipelines.store.canonical import canonical
from pipelines.store.object_store import Store
from pipelines.version.files import description
from pipelines.version.mask_column import box_of, encode_mask
from pipelines.version.plan import Plan, Quota, read_plan
from pipelines.version.rows import write_table

HOSTILE = '"><script>alert(1)</script>'
CLASSES = ("boot", HOSTILE)
PROMPT = "a photo of a <img src=x onerror=alert(2)> & 'boot'"
REASON = "quality: <b>blurred</b>"
SHARDS, IN_SHARD = 4, 40
REAL = 40


def png(grey: int) -> bytes:
    data = io.BytesIO()
    PIL.Image.new("RGB", (8, 8), (grey, 90, 40)).save(data, "PNG")
    return data.getvalue()


def row(index: int, attempt: int, kept: bool) -> dict[str, Any]:
    return {
        "image": {"bytes": png(index % 256), "path": f"{index:08d}-{attempt}.png"},
        "label": index % 2,
        "group": "on grass" if index % 3 else "on brick",
        "index": index,
        "attempt": attempt,
        "seed": index,
        "origin": "boot",
        "source_id": f"train/boot/{index:05d}.png",
        "source_sha256": "ab" * 32,
        "object_id": None,
        "object_sha256": None,
        "method": "spurious_removal",
        "prompt": PROMPT,
        "group_id": None,
        "concept": None,
        "lora": None,
        "strength": 1.0,
        "guidance": 5.0,
        "steps": 3,
        "model": "builtin",
        "revision": "0",
        "scores": json.dumps({"quality.contrast": index / 1000}),
        "reason": None if kept else REASON,
        **(painted() if index % 4 == 1 else {}),
    }


def painted() -> dict[str, Any]:
    """Of a sample of which a region was repainted: its box and mask."""
    mask = np.zeros((8, 8), np.bool_)
    mask[2:6, 1:4] = True
    return {"box": box_of(mask), "mask": {"bytes": encode_mask(mask), "path": "mask.png"}}


def write_samples(store: Store, name: str, number: int) -> None:
    """Each planned image was dropped at the first attempt, and kept at the second."""
    root, planned = keys.version(name, number), SHARDS * IN_SHARD
    quotas = (Quota("boot", "boot", planned // 2), Quota(HOSTILE, "boot", planned // 2))
    plan = Plan(spec="0", source="0", quotas=quotas, shard_size=IN_SHARD)
    store.put(keys.plan(root), canonical(plan.as_json()))
    for shard in range(SHARDS):
        for key, attempt in ((keys.rejected(root, shard, SHARDS), 0), (keys.data(root, shard, SHARDS), 1)):
            store.put(key, write_table([row(i, attempt, attempt == 1) for i in plan.indices(shard)], CLASSES))
        store.put(keys.report(root, shard), canonical({}))


def publish_samples(store: Store, name: str, number: int) -> None:
    """The manifest of what was written."""
    root = keys.version(name, number)
    paths = sorted(key.removeprefix(f"{root}/") for key in store.keys(root))
    files = [description(path, store.get(f"{root}/{path}")) for path in paths]
    store.put(keys.manifest(root), canonical({"name": name, "version": number, "files": files}))


def write_map(store: Store, name: str, number: int) -> None:
    """The map of these samples: the kept ones above, the dropped below them, 60 apart from left to right and 45 from top to
    bottom; and real images at its right edge."""
    root, planned = keys.version(name, number), SHARDS * IN_SHARD
    plan = read_plan(store, root)
    assert plan is not None
    places = {index: (shard, row) for shard in range(SHARDS) for row, index in enumerate(plan.indices(shard))}
    samples = [(kind, index) for kind in ("kept", "dropped") for index in range(planned)]
    points = [(20 + 60 * (index % 16), (20 if kind == "kept" else 520) + 45 * (index // 16)) for kind, index in samples]
    drawn = EmbeddingMap(
        kinds=np.array([kind for kind, _ in samples] + ["real"] * REAL),
        ids=np.array([f"{index}-{int(kind == 'kept')}" for kind, index in samples] + [f"real/{n}" for n in range(REAL)]),
        labels=np.array([CLASSES[index % 2] for _, index in samples] + ["boot"] * REAL),
        places=np.array([places[index] for _, index in samples] + [(-1, -1)] * REAL),
        points=np.array(points + [(980, 25 * n) for n in range(REAL)], np.float32),
        totals={"kept": planned, "dropped": planned, "real": 1000},
    )
    store.put(keys.report_file(root, FILE), encode(drawn, np.zeros((len(drawn), 4), np.float16)))
