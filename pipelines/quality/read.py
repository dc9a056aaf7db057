"""Reading the images of a quality report: so many, drawn from all, each decoded once and shrunk to CLIP's own size."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pipelines.chance import derive
from pipelines.learning.resources import Resources
from pipelines.progress import step
from pipelines.quality.features import Facts
from pipelines.records import Image, Item
from pipelines.source.decode import decode
from pipelines.source.frames import cut
from pipelines.version import rows
from pipelines.version.files import Kind, all_stored
from pipelines.version.plan import Plan

SAMPLES = 10_000  # of a version that are measured
DROPPED = 2_000  # candidates that are drawn from, for the map
REAL = 5_000  # training images, and as many held-out ones, that they are compared with


def some(items: Sequence[Any], most: int, seed: int) -> list[Any]:
    """No more than `most` of them, in their order; the same for the same seed."""
    if len(items) <= most:
        return list(items)
    chosen = np.random.default_rng(derive(seed, "quality", len(items))).permutation(len(items))[:most]
    return [items[row] for row in sorted(chosen)]


def real_items(resources: Resources) -> tuple[list[Item], list[Item]]:
    """The training and held-out images that are measured."""
    splits, seed = resources.source.splits, resources.spec.seed
    return some(splits["train"], REAL, seed), some([*splits["validation"], *splits["test"]], REAL, seed)


def overview(resources: Resources, image: Image) -> Image:
    """What CLIP sees of an image of any size: uint8 (side, side, 3)."""
    return cut(image, resources.view.overview(image), resources.models.clip.side)


def real_images(resources: Resources, items: Sequence[Item]) -> Iterator[tuple[Facts, Image]]:
    """Real images with their facts, one at a time."""
    for item in items:
        facts = Facts(item.id, resources.source.classes.index(item.label), item.group)
        yield facts, overview(resources, resources.view.read(item))


def sample_rows(resources: Resources, plan: Plan, total: int, kind: Kind = "data") -> Iterator[dict[str, Any]]:
    """Rows of samples, or of what was `rejected`, with their `shard` and `row`: no more than `SAMPLES`, or `DROPPED`, of
    `total`, of all shards, or of some where those hold enough."""
    stored = enumerate(all_stored(resources.store, resources.root, plan))
    files = [(number, shard[kind]) for number, shard in stored if kind in shard]
    most = SAMPLES if kind == "data" else DROPPED
    wanted = len(files) if total <= most else max(1, -(-len(files) * most // total))
    left = most
    for number, key in some(files, wanted, resources.spec.seed):
        for place, row in enumerate(rows.read(resources.store.get(key))[:left]):
            left -= 1
            yield {**row, "shard": number, "row": place}


def samples(resources: Resources, stored: Iterator[dict[str, Any]], prompts: list[str]) -> Iterator[tuple[Facts, Image]]:
    """Samples with their facts, one at a time; `prompts` takes theirs."""
    for row in stored:
        step()
        prompts.append(row["prompt"])
        identity, place = f"{row['index']}-{row['attempt']}", (row["shard"], row["row"])
        facts = Facts(identity, row["label"], row["group"], row["source_id"], place)
        yield facts, overview(resources, decode(row["image"], allow_synthetic=True))
