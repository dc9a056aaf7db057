"""Examining images: hashed and decoded, in this process or in several side by side.

Processes are given files in batches, a few at a time, so that memory does not grow with the source.
"""

from collections.abc import Iterator
from itertools import islice

from pipelines import parallel
from pipelines.progress import Stage
from pipelines.records import Problem
from pipelines.source.checks import Entries, Entry, Picture, check_picture
from pipelines.source.decode import BadImage
from pipelines.source.names import clean

BATCH = 4 * 2**20  # bytes of files given to a process at a time
MOST = 256  # files of a batch
FEW = 4  # batches that are examined here: to start processes takes as long
MAX_PROCESSES = 8  # each may decode an image of 50 megapixels

Batch = list[Entry | Problem]
Examined = Iterator[Picture | Problem]


def examine(batch: Batch, allow_synthetic: bool, done: Stage | None = None) -> list[Picture | Problem]:
    """A picture of each usable image, a problem for every other, in their order. `done` is the stage of a process of its
    own, not needed: files are counted as they are read."""
    return [one if isinstance(one, Problem) else examine_one(one, allow_synthetic) for one in batch]


def examine_one(entry: Entry, allow_synthetic: bool) -> Picture | Problem:
    path = clean(entry.path)
    try:
        return check_picture(entry, path, allow_synthetic)
    except BadImage as error:
        return Problem(f"{entry.shard}/{path}" if entry.shard else path, str(error))


def batches(entries: Entries) -> Iterator[Batch]:
    batch: Batch = []
    size = 0
    for entry in entries:
        batch.append(entry)
        size += len(entry.data) if isinstance(entry, Entry) else 0
        if size >= BATCH or len(batch) == MOST:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def examine_all(entries: Entries, allow_synthetic: bool) -> Examined:
    """All entries in their order, by several processes where they are many."""
    groups = batches(entries)
    count = min(parallel.cores(), MAX_PROCESSES)
    for batch in islice(groups, FEW if count > 1 else None):
        yield from examine(batch, allow_synthetic)
    calls = ((batch, allow_synthetic) for batch in groups)
    for results in parallel.stream(examine, calls, count):
        yield from results
