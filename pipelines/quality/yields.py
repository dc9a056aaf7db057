"""What a sample took: candidates, filters and seconds; and what is otherwise than in the version before."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any


def yields(counts: Mapping[str, Any], seconds: Mapping[str, float]) -> dict[str, Any]:
    """Of the manifest's counts, and the seconds of the stages. None where nothing was kept."""
    filters: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for reason, count in counts["reasons"].items():
        name, _, why = reason.partition(": ")
        filters[name][why] = count
    kept, generated = counts["kept"], counts["generated"]
    dropped = {name: sum(reasons.values()) for name, reasons in sorted(filters.items())}
    return {
        "generated": generated,
        "kept": kept,
        "candidates_per_sample": generated / kept if kept else None,
        "seconds_per_sample": seconds.get("generate", 0.0) / kept if kept else None,
        "filters": {
            name: {"dropped": count, "share": count / generated, "reasons": filters[name]} for name, count in dropped.items()
        },
    }


def values(report: Mapping[str, Any]) -> dict[str, float | None]:
    """Every measure of a quality report by its name."""
    return {m["name"]: m["value"] for part in report["sections"].values() for m in part["measures"]}


def changes(report: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Every measure of two versions: before and after."""
    old, new = values(before), values(report)
    return {name: {"before": old[name], "after": new[name]} for name in new if name in old}
