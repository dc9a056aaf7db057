"""A copy of a version's folder, made over as people decided: what they dropped is gone from its Parquet files, and what they
kept, though the filters had dropped it, is in one of its own. The published version stays as it is. Imports no torch."""

import io
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.store.canonical import canonical
from pipelines.store.object_store import Store
from pipelines.version.export.samples import PublishedVersion, sample_keys
from pipelines.version.files import description
from pipelines.version.verdicts import FILE, SampleKey, encoded, samples_to

RESTORED = "data/train-restored.parquet"
DESCRIPTION = "croissant.json"  # of the published files, by their hashes: it goes
ROWS = 100  # in a row group


def selected(file: pq.ParquetFile, keep: Callable[[SampleKey], bool]) -> pa.Table:
    return file.read().filter(pa.array([keep(key) for key in sample_keys(file)], pa.bool_()))


def encoded_table(table: pa.Table) -> bytes:
    data = io.BytesIO()
    with pq.ParquetWriter(data, table.schema, compression="zstd") as writer:
        if len(table):  # datasets cannot read a row group without rows
            writer.write_table(table, row_group_size=ROWS)
    return data.getvalue()


def changed_files(version: PublishedVersion) -> Iterator[tuple[str, bytes]]:
    """The data files that people's verdicts make other ones, one at a time, by their paths."""
    dropped, restored = samples_to("drop", version.verdicts), frozenset(version.restored)
    for key in version.files:
        file = version.open(key)
        if not dropped.isdisjoint(sample_keys(file)):
            yield key, encoded_table(selected(file, lambda sample: sample not in dropped))
    if restored:
        table = pa.concat_tables([selected(version.open(key), restored.__contains__) for key in version.rejected])
        place = table.schema.get_field_index("reason")  # there is none against a sample
        nothing = pa.nulls(len(table), table.schema.field(place).type)
        yield RESTORED, encoded_table(table.set_column(place, table.schema.field(place), nothing))


def sentence(version: PublishedVersion) -> str:
    """What people's verdicts have changed, in words: '2 dropped by people left out, 1 kept by people brought back'."""
    return f"{version.left_out:,} dropped by people left out, {len(version.restored):,} kept by people brought back"


def texts(version: PublishedVersion, store: Store) -> Iterator[tuple[str, bytes]]:
    """The verdicts, and the card with a word on them."""
    yield FILE, encoded(version.verdicts.values())
    if store.exists("README.md"):
        note = f"This is a copy: {sentence(version)} (`{FILE}`). All above is of the version as it was published."
        yield "README.md", store.get("README.md") + f"\n## People's verdicts\n\n{note}\n".encode()


def decide(version: PublishedVersion, folder: Path) -> None:
    """Make a version's folder over by the verdicts of the version, which is read from there. Manifest and card say so."""
    store = Store.open(folder)
    manifest, decided = store.json("manifest.json"), {"left_out": version.left_out, "restored": len(version.restored)}
    for path in (RESTORED, DESCRIPTION):
        store.delete(path)
    entries = {file["path"]: file for file in manifest["files"] if file["path"] != DESCRIPTION}
    for path, data in chain(changed_files(version), texts(version, store)):
        store.put(path, data)
        entries[path] = description(path, data)
    files = [entries[path] for path in sorted(entries)]
    store.put("manifest.json", canonical({**manifest, "files": files, "decided": decided}))
