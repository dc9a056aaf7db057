"""A version's samples, kept and dropped, in the order of each score: a Parquet file a score, sorted by it, that says where
each sample lies and what grids filter by. Made once, when a version is reported on: a page of a million sorted samples then
opens that file, and those of the samples on it. Imports no torch."""

import io
import json
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.progress import step
from pipelines.source.class_labels import class_names
from pipelines.store import keys
from pipelines.store.object_store import Store
from pipelines.version.browse import KINDS, SampleFilter, files, open_samples
from pipelines.version.files import stored
from pipelines.version.plan import Plan

ROWS = 2**15  # in a row group, of which whole ones are read
COLUMNS = ("shard", "row", "label", "group", "reason")  # beside the score; a sample without a reason was kept
TIES = ("index", "attempt")
SCORE = "score:"  # and its name: a column while the files are made


def facts(store: Store, root: str, plan: Plan) -> Iterator[pa.Table]:
    """Of each data file, where its rows lie and what they are sorted and filtered by."""
    for shard, verdict in files(plan, SampleFilter()):
        step()
        key = (stored(store, root, plan, shard) or {}).get(KINDS[verdict])
        file = None if key is None else open_samples(store, key)
        if file is None or not file.metadata.num_rows:
            continue
        table = file.read(columns=[*TIES, "label", "group", "reason", "scores"])
        scores = [json.loads(text) for text in table.column("scores").to_pylist()]
        names = sorted({name for row in scores for name in row})
        columns = {
            "shard": pa.array([shard] * len(table), pa.int32()),
            "row": pa.array(range(len(table)), pa.int32()),
            "label": pa.array(class_names(file.schema_arrow)).take(table.column("label")),
            **{name: table.column(name) for name in ("group", "reason", *TIES)},
            **{SCORE + name: pa.array([number(row.get(name)) for row in scores], pa.float64()) for name in names},
        }
        yield pa.table(columns)


def number(value: object) -> float | None:
    """A score that is a number."""
    return float(value) if isinstance(value, int | float) and value == value else None


def score_orders(store: Store, root: str, plan: Plan) -> Iterator[tuple[str, bytes]]:
    """The file of each score, by its name. Same samples, same bytes."""
    parts = list(facts(store, root, plan))
    samples = pa.concat_tables(parts, promote_options="default") if parts else pa.table({})
    for column in sorted(name for name in samples.column_names if name.startswith(SCORE)):
        step()
        rows = samples.filter(pc.is_valid(samples.column(column)))
        order = pc.sort_indices(rows, sort_keys=[(name, "ascending") for name in (column, *TIES)])
        ordered = rows.select([*COLUMNS, column]).take(order).rename_columns([*COLUMNS, "score"])
        data = io.BytesIO()
        pq.write_table(ordered, data, compression="zstd", row_group_size=ROWS)
        yield column.removeprefix(SCORE), data.getvalue()


def write_orders(store: Store, root: str, plan: Plan) -> None:
    """Put the files into the store, where the first writer wins."""
    for score, data in score_orders(store, root, plan):
        if key := keys.score_order(root, score):
            store.put_first(key, data)
