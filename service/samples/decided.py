"""The samples that people decided about, a page at a time."""

from collections.abc import Sequence
from typing import Any

from pipelines.store.object_store import Store
from pipelines.version import browse
from pipelines.version.verdicts import SampleKey

LOOKED_UP = 200  # samples for one page, at most


def page(
    store: Store, root: str, only: browse.SampleFilter, samples: Sequence[SampleKey], start: int, limit: int
) -> tuple[list[Any], tuple[int, int] | None]:
    """Those of the samples that a filter admits, from a place in their order on, and the cursor of the next page. A page may
    hold fewer than `limit`, even none, though more follow."""
    items: list[Any] = []
    end = min(start + LOOKED_UP, len(samples))
    for place in range(start, end):
        if len(items) == limit:
            return items, (0, place)
        sample = browse.find(store, root, *samples[place])
        if sample is not None and only.admits(sample):
            items.append(sample)
    return items, (0, end) if end < len(samples) else None
