"""Counts of a version's images, from the reports of its units."""

from collections import Counter
from typing import Any

from service.state.lifecycle import Stage


def add_report(counts: dict[str, Any], stage: Stage, report: dict[str, Any]) -> dict[str, Any]:
    """The counts after another report: the plan's, then sums over the shards, at last those of the manifest."""
    if stage == "plan":
        return {"planned": report.get("planned", 0), **({"carried": report["carried"]} if report.get("carried") else {})}
    if stage == "finalize":
        return {name: value for name, value in report.items() if name != "bytes"}
    if stage != "generate":
        return counts
    total = dict(counts)
    for name in ("generated", "kept", "dropped"):
        total[name] = total.get(name, 0) + report.get(name, 0)
    total["reasons"] = dict(Counter(counts.get("reasons", {})) + Counter(report.get("reasons", {})))
    return total
