"""The samples and learning curves of a finished version that its report page displays."""

import json
from typing import Any

import yaml

from pipelines.learning.resources import Resources
from pipelines.methods import Method
from pipelines.report.page import DisplayedSample, Page
from pipelines.source.decode import decode
from pipelines.version import rows
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
    """Rows beside their source image and the region that was repainted."""
    by_id = {item.id: item for item in resources.source.splits["train"]}
    items = [by_id.get(row["source_id"]) for row in rows]
    used = [item for item in items if item is not None]
    masks = {item.id: mask for item, mask in zip(used, method.regions(used), strict=True)}
    return [
        DisplayedSample(
            source=None if item is None else resources.view.images([item])[0],
            mask=None if item is None else masks.get(item.id),
            generated=decode(row["image"], allow_synthetic=True),
            label=resources.source.classes[row["label"]],
            origin=row["origin"],
            kept=row["reason"] is None,
            reason=row["reason"],
            scores=json.loads(row["scores"]),
            prompt=row["prompt"],
            id=f"{row['index']}.{row['attempt']}",
        )
        for row, item in zip(rows, items, strict=True)
    ]


def showcase(resources: Resources, plan: Plan, method: Method, summary: dict[str, Any]) -> Page:
    files = plan.data_files(resources.root)[:SHARDS] + plan.rejected_files(resources.root)[:SHARDS]
    every = [row for key in files for row in rows.read(resources.store.get(key))]
    tokens = method.concepts.tokens.learned if plan.planned else {}  # where all was carried, none was needed
    return Page(
        title=f"{resources.spec.name}, version {summary['version']}",
        summary=summary,
        samples=displayed(resources, method, choose(every)),
        curves={token.name: list(enumerate(token.losses, start=1)) for token in tokens.values()},
        spec_yaml=yaml.safe_dump(resources.spec.model_dump(mode="json"), sort_keys=False, allow_unicode=True),
    )
