"""A version's samples in the order of a score: the worst, or the best, first."""

from typing import Any

from pipelines.errors import SpecError
from pipelines.store.object_store import Store
from pipelines.version import browse
from pipelines.version.browse import SampleFilter
from pipelines.version.files import stored
from pipelines.version.plan import read_plan

MOST = 50_000  # rows that are read for one page


def page(
    store: Store, root: str, only: SampleFilter, *, descending: bool, start: int, limit: int
) -> tuple[list[Any], int | None]:
    """The samples of a filter that have its score, from a place in their order on, and the place where the next page starts;
    None after the last. Raises SpecError for more rows than can be sorted for a page."""
    plan, samples, read = read_plan(store, root), list[dict[str, Any]](), 0
    for shard, verdict in browse.files(plan, only) if plan else ():
        assert plan is not None
        key = (stored(store, root, plan, shard) or {}).get(browse.KINDS[verdict])
        file = None if key is None else browse.open_samples(store, key)
        if file is None:
            continue
        read += file.metadata.num_rows
        if read > MOST:
            raise SpecError(
                f"order: the version has more than {MOST:,} samples, too many to sort for a page; filter them by verdict, "
                "or by the score's least and most without an order"
            )
        samples += [browse.sample(row, verdict) for row in browse.chosen_rows(file, only.matches(file, (shard, verdict)))]
    samples.sort(key=lambda one: (one["scores"][only.score] * (-1 if descending else 1), one["index"], one["attempt"]))
    following = start + limit
    return samples[start:following], following if following < len(samples) else None
