"""A version's samples in the order of a score: the worst, or the best, first. Descending is the reverse of ascending."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipelines.errors import SpecError
from pipelines.store import keys
from pipelines.store.object_store import Store
from pipelines.version import browse
from pipelines.version.browse import Place, SampleFilter, Verdict
from pipelines.version.files import stored
from pipelines.version.plan import read_plan

Number = TypeVar("Number", int, NDArray[np.int64])

MOST = 50_000  # rows that are read for one page of a version whose order is not stored yet
THREADS = 8  # that read the samples of a page, which lie in as many files
READ, STORED = 0, 1  # how a cursor counts: samples of the filter, or rows of the stored order


def page(
    store: Store, root: str, only: SampleFilter, *, descending: bool, start: tuple[int, int], limit: int
) -> tuple[list[Any], tuple[int, int] | None]:
    """The samples of a filter that have its score, from a cursor on, and the cursor of the next page; None after the last.
    Raises SpecError for more rows than can be sorted for a page."""
    how, place = start
    key = keys.score_order(root, only.score or "")
    file = store.file(key) if key and (how == STORED or not place) else None
    if file is not None:
        items, following = stored_page(store, root, pq.ParquetFile(file), only, descending, place, limit)
        return items, None if following is None else (STORED, following)
    items = sorted_samples(store, root, only)
    items = items[::-1] if descending else items
    end = place + limit
    return items[place:end], (READ, end) if end < len(items) else None


def count(store: Store, root: str, score: str) -> int:
    """How many samples have a score, by its stored order; 0 where there is none, or not yet."""
    key = keys.score_order(root, score)
    file = store.file(key) if key else None
    return 0 if file is None else int(pq.ParquetFile(file).metadata.num_rows)


def sorted_samples(store: Store, root: str, only: SampleFilter) -> list[dict[str, Any]]:
    """All samples of a filter, read and sorted. Raises SpecError for too many."""
    plan, samples, read = read_plan(store, root), list[dict[str, Any]](), 0
    for shard, verdict in browse.files(plan, only) if plan else ():
        assert plan is not None
        key = (stored(store, root, plan, shard) or {}).get(browse.KINDS[verdict])
        file = None if key is None else browse.open_samples(store, key)
        if file is None:
            continue
        read += file.metadata.num_rows if only.region is None else len(only.region.get((shard, verdict), ()))
        if read > MOST:
            raise SpecError(
                f"order: the version has more than {MOST:,} samples, too many to sort before it is completed; filter "
                "them by verdict, or by the score's least and most without an order"
            )
        samples += [browse.sample(row, verdict) for row in browse.chosen_rows(file, only.matches(file, (shard, verdict)))]
    return sorted(samples, key=lambda one: (one["scores"][only.score], one["index"], one["attempt"]))


def stored_page(
    store: Store, root: str, order: pq.ParquetFile, only: SampleFilter, descending: bool, start: int, limit: int
) -> tuple[list[Any], int | None]:
    """The same by the stored order, from a row of it on, counted from its end if it is descending."""
    rows = matching_rows(order, only, descending, start, limit + 1)
    samples = samples_at(store, root, [(verdict, shard, row) for _, verdict, shard, row in rows[:limit]])
    return samples, rows[limit][0] if len(rows) > limit else None


def matching_rows(
    order: pq.ParquetFile, only: SampleFilter, descending: bool, start: int, most: int
) -> list[tuple[int, Verdict, int, int]]:
    """The first rows of a stored order that a filter matches: number in the order, verdict, shard, and row in its file."""
    rows: list[tuple[int, Verdict, int, int]] = []
    equal = [name for name in ("label", "group") if getattr(only, name) is not None]
    passed, columns = 0, ["shard", "row", "score", "reason", *equal]
    groups = range(order.num_row_groups)
    for group in reversed(groups) if descending else groups:
        size = order.metadata.row_group(group).num_rows
        if passed + size > start and in_range(order, group, only):
            table = order.read_row_group(group, columns=columns)
            places = np.flatnonzero(mask(table, only).to_numpy(zero_copy_only=False))
            numbers = passed + (size - 1 - places[::-1] if descending else places)
            places = (places[::-1] if descending else places)[numbers >= start][: most - len(rows)]
            numbers = numbers[numbers >= start][: most - len(rows)]
            for number, row in zip(numbers.tolist(), table.take(places).to_pylist(), strict=True):
                rows.append((number, "kept" if row["reason"] is None else "dropped", row["shard"], row["row"]))
        passed += size
        if len(rows) == most:
            break
    return rows


def in_range(order: pq.ParquetFile, group: int, only: SampleFilter) -> bool:
    """Whether any score of a row group may be from `least` to `most`."""
    column = order.schema_arrow.get_field_index("score")
    statistics = order.metadata.row_group(group).column(column).statistics
    known = statistics is not None and statistics.has_min_max
    return not known or (statistics.max >= only.least and statistics.min <= only.most)


def mask(table: pa.Table, only: SampleFilter) -> pa.ChunkedArray:
    """Which rows a filter matches."""
    score, reason = table.column("score"), table.column("reason")
    parts = [pc.greater_equal(score, only.least), pc.less_equal(score, only.most)]
    parts += [
        pc.equal(table.column(name), value) for name in ("label", "group") if (value := getattr(only, name)) is not None
    ]
    if only.verdict is not None:
        parts.append(pc.is_null(reason) if only.verdict == "kept" else pc.is_valid(reason))
    if only.reason is not None:
        parts.append(pc.starts_with(reason, only.reason))
    if only.region is not None:
        parts.append(pa.array(in_region(table, only.region)))
    return pc.fill_null(reduce(pc.and_, parts), False)


def in_region(table: pa.Table, region: Mapping[Place, Sequence[int]]) -> NDArray[np.bool_]:
    """Which rows of a stored order are among those of a region, by their file and their number in it."""
    chosen = [file_number(shard, verdict == "kept") << 32 | row for (shard, verdict), rows in region.items() for row in rows]
    shards, rows = (table.column(name).to_numpy().astype(np.int64) for name in ("shard", "row"))
    kept = pc.is_null(table.column("reason")).to_numpy().astype(np.int64)
    return np.isin(file_number(shards, kept) << 32 | rows, chosen)


def file_number(shard: Number, kept: Number) -> Number:
    """One number for both files of a shard."""
    return 2 * shard + kept


def samples_at(store: Store, root: str, places: Sequence[tuple[Verdict, int, int]]) -> list[Any]:
    """Samples of a published version by verdict, shard and row, in their order; the files are read side by side."""
    shards = {
        (kind, keys.shard_of(file["path"])): file.get("key", f"{root}/{file['path']}")
        for file in store.json(keys.manifest(root))["files"]
        for kind in browse.KINDS
        if file["path"].startswith(f"{browse.KINDS[kind]}/")
    }
    rows: defaultdict[tuple[Verdict, int], set[int]] = defaultdict(set)
    for verdict, shard, row in places:
        rows[verdict, shard].add(row)

    def read(place: tuple[Verdict, int]) -> dict[tuple[Verdict, int, int], Any]:
        file = browse.open_samples(store, shards[place])
        if file is None:
            return {}
        numbers = sorted(rows[place])
        columns = zip(numbers, browse.chosen_rows(file, numbers), strict=True)
        return {(*place, number): browse.sample(row, place[0]) for number, row in columns}

    with ThreadPoolExecutor(THREADS) as pool:
        samples = {key: value for part in pool.map(read, rows) for key, value in part.items()}
    return [samples[place] for place in places if place in samples]
