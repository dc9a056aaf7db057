"""The samples and learning curves of a finished version that its report page displays."""

import json
from typing import Any

import yaml

from pipelines.learning.resources import Resources
from pipelines.methods import Method
from pipelines.progress import step
from pipelines.report.page import DisplayedSample, Page
from pipelines.source.decode import decode
from pipelines.source.frames import cut
from pipelines.version import rows
from pipelines.version.files import all_stored
from pipelines.version.plan import Plan

SAMPLES = 12  # of the kept, and of each reason
SHARDS = 20  # that samples are taken from: each is a fair mixture


def choose(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A few of each kind: by reason, label, origin, and whether the object is a real one."""
    kinds: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        kinds.setdefault((row["reason"], row["label"], row["origin"], row.get("object_id") is None), []).append(row)
    by_reason: dict[Any, int] = {}
    for reason, *_ in kinds:
        by_reason[reason] = by_reason.get(reason, 0) + 1
    return [row for (reason, *_), group in kinds.items() for row in group[: max(1, SAMPLES // by_reason[reason])]]


def displayed(resources: Resources, method: Method, rows: list[dict[str, Any]]) -> list[DisplayedSample]:
    """Rows beside their source image and the region that was repainted, all in the frame that the model worked on."""
    view, by_id = resources.view, {item.id: item for item in resources.source.splits["train"]}
    used = {row["source_id"]: by_id[row["source_id"]] for row in rows if row["source_id"] in by_id}
    items = list(used.values())
    regions = [(item, mask) for item, mask in zip(items, method.regions(items), strict=True) if mask is not None]
    smallest = resources.spec.smallest_frame
    framed = view.framed([item for item, _ in regions], [mask for _, mask in regions], smallest)
    parts = {item.id: part for (item, _), part in zip(regions, framed, strict=True)}
    samples = []
    for row in rows:
        step()
        image, part = decode(row["image"], allow_synthetic=True), parts.get(row["source_id"])
        if part is not None and view.framing == "pad":
            image = view.fit(image)
        whole = part is not None and image.shape[:2] == part.size  # the sample is all of its source image
        samples.append(
            DisplayedSample(
                source=None if part is None else part.image,
                mask=None if part is None else part.mask,
                generated=cut(image, part.frame, len(part.image)) if part is not None and whole else image,
                label=resources.source.classes[row["label"]],
                origin=row["origin"],
                kept=row["reason"] is None,
                reason=row["reason"],
                scores=json.loads(row["scores"]),
                prompt=row["prompt"],
                id=f"{row['index']}.{row['attempt']}",
            )
        )
    return samples


def showcase(resources: Resources, plan: Plan, method: Method, summary: dict[str, Any]) -> Page:
    files = all_stored(resources.store, resources.root, plan)
    kept = [shard["data"] for shard in files[:SHARDS]]
    dropped = [shard["rejected"] for shard in files[:SHARDS] if "rejected" in shard]
    every = [row for key in kept + dropped for row in rows.read(resources.store.get(key))]
    curves = method.concepts.tokens.curves if plan.planned else {}  # where all was carried, none was needed
    return Page(
        title=f"{resources.spec.name}, version {summary['version']}",
        summary=summary,
        samples=displayed(resources, method, choose(every)),
        curves={token: list(enumerate(losses, start=1)) for token, losses in curves.items()},
        spec_yaml=yaml.safe_dump(resources.spec.model_dump(mode="json"), sort_keys=False, allow_unicode=True),
    )
