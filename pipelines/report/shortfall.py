"""Classes of which fewer images were kept than planned, and the filter that dropped most of their candidates."""

from collections.abc import Mapping
from typing import Any

from pipelines.spec.base import quantity

LISTED = 10  # classes, those that lack most


def sentence(label: str, short: Mapping[str, Any]) -> str:
    """'siskin: 3 of 10 kept; label_agreement dropped 14 candidates'."""
    kept, dropped = f"{label}: {short['kept']:,} of {short['planned']:,} kept", short["dropped"]
    if not dropped:
        return kept
    worst = max(dropped, key=lambda name: (dropped[name], name))
    return f"{kept}; {worst} dropped {quantity(dropped[worst], 'candidate')}"


def shortfalls(counts: Mapping[str, Any]) -> list[str]:
    """A line for each such class, of a version's counts; none of versions from before it was counted."""
    short: dict[str, Any] = counts.get("shortfall", {})
    labels = sorted(short, key=lambda label: (short[label]["kept"] - short[label]["planned"], label))
    lines = [sentence(label, short[label]) for label in labels[:LISTED]]
    return lines if len(labels) <= LISTED else [*lines, f"classes that fall short, too: {len(labels) - LISTED:,}"]
