"""What a summary says in words and differences, for programs: the same as page, card and terminal."""

from collections.abc import Mapping
from typing import Any

from pipelines.report.amounts import advice
from pipelines.report.confusion import confusion_change
from pipelines.report.harm import harms
from pipelines.report.headline import headline


def conclusions(summary: Mapping[str, Any]) -> dict[str, Any]:
    """`headline`; `harms`, what generated images lower; `advice`, how many are enough; `confusion`, which classes gain."""
    changes = confusion_change(summary)
    return {
        "headline": headline(summary),
        "harms": [{"name": harm.name, "before": harm.before, "after": harm.after} for harm in harms(summary)],
        "advice": advice(summary),
        "confusion": None if changes is None else changes.as_json(),
    }
