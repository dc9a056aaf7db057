"""Collecting from a finished version what its page shows."""

import json
from typing import Any

import yaml

from pipelines import rows
from pipelines.methods import Method
from pipelines.plan import Plan
from pipelines.report.page import Page, Shown
from pipelines.source import decode
from pipelines.workbench import Workbench

EACH = 12  # samples shown of the kept, and of each reason
SHARDS = 20  # that samples are taken from: each is a fair mixture


def some(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A few of each kind: by reason, label, origin, and whether the object is a real one."""
    kinds: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in found:
        kinds.setdefault((row["reason"], row["label"], row["origin"], row.get("object_id") is None), []).append(row)
    by_reason: dict[Any, int] = {}
    for reason, *_ in kinds:
        by_reason[reason] = by_reason.get(reason, 0) + 1
    return [row for (reason, *_), group in kinds.items() for row in group[: max(1, EACH // by_reason[reason])]]


def shown(bench: Workbench, method: Method, found: list[dict[str, Any]]) -> list[Shown]:
    """Rows beside their source image and the region that was repainted."""
    by_id = {item.id: item for item in bench.source.splits["train"]}
    items = [by_id.get(row["source_id"]) for row in found]
    used = [item for item in items if item is not None]
    masks = {item.id: mask for item, mask in zip(used, method.regions(used), strict=True)}
    return [
        Shown(
            source=None if item is None else bench.images([item])[0],
            mask=None if item is None else masks.get(item.id),
            generated=decode(row["image"], allow_synthetic=True),
            label=bench.source.classes[row["label"]],
            origin=row["origin"],
            kept=row["reason"] is None,
            reason=row["reason"],
            scores=json.loads(row["scores"]),
            prompt=row["prompt"],
            id=f"{row['index']}.{row['attempt']}",
        )
        for row, item in zip(found, items, strict=True)
    ]


def gather(bench: Workbench, plan: Plan, method: Method, summary: dict[str, Any]) -> Page:
    files = plan.files(bench.root)[:SHARDS] + plan.rejects(bench.root)[:SHARDS]
    found = [row for key in files for row in rows.read(bench.store.get(key))]
    tokens = method.concepts.tokens.learned if plan.planned else {}  # where all was carried, none was needed
    return Page(
        title=f"{bench.spec.name}, version {summary['version']}",
        summary=summary,
        samples=shown(bench, method, some(found)),
        curves={token.name: list(enumerate(token.losses, start=1)) for token in tokens.values()},
        spec_yaml=yaml.safe_dump(bench.spec.model_dump(mode="json"), sort_keys=False, allow_unicode=True),
    )
