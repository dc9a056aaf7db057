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
    """Every measure of a quality report by its name, and what a sample took: `candidates_per_sample`, and for each
    filter that dropped any its share, `quality_dropped`."""
    measures = {m["name"]: m["value"] for part in report["sections"].values() for m in part["measures"]}
    shares = {f"{name}_dropped": part["share"] for name, part in report["yield"]["filters"].items()}
    return {**measures, "candidates_per_sample": report["yield"]["candidates_per_sample"], **shares}


def changes(report: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Everything of two versions' `values`: before and after. A filter that is in one alone dropped nothing of the other."""
    old, new = values(before), values(report)
    nothing = {name: 0.0 for name in (*old, *new) if name.endswith("_dropped")}
    old, new = {**nothing, **old}, {**nothing, **new}
    return {name: {"before": old[name], "after": new[name]} for name in new if name in old}
