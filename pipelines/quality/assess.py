"""The four questions."""

from collections.abc import Mapping
from typing import Any

from pipelines.quality.comparison import Comparison
from pipelines.quality.unoriginal import unoriginal
from pipelines.quality.unrealistic import unrealistic
from pipelines.quality.unrepresentative import unrepresentative
from pipelines.quality.unvaried import unvaried


def assess(comparison: Comparison, counts: Mapping[str, Any]) -> dict[str, Any]:
    """Each question's part of the report. `counts` is the manifest's."""
    return {
        "unrealistic": unrealistic(comparison, counts),
        "unvaried": unvaried(comparison),
        "unoriginal": unoriginal(comparison),
        "unrepresentative": unrepresentative(comparison),
    }
