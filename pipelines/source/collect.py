"""From the files of a source to its items: each is checked, then all are sorted."""

from collections.abc import Callable

from pipelines.progress import step
from pipelines.records import Problem
from pipelines.source.annotations import Annotations, is_table
from pipelines.source.checks import Contents, Entries, Picture
from pipelines.source.examine import Examined
from pipelines.source.layout import MAX_NAME
from pipelines.source.names import clean, hidden
from pipelines.source.sorting import sort

MAX_PATH = 1000  # characters of a path


def collect(entries: Entries, examine: Callable[[Entries], Examined], where: str = "source") -> Contents:
    """Have every image examined, and sort them into classes and splits.

    Raises SourceError for a table that cannot be read.
    """
    pictures: list[Picture] = []
    problems: list[Problem] = []
    tables = Annotations(where)
    for result in examine(sift(entries, tables)):
        if isinstance(result, Problem):
            problems.append(result)
        else:
            pictures.append(result)
    return sort(pictures, tables, problems)


def sift(entries: Entries, tables: Annotations) -> Entries:
    """The entries that should be images, and problems by their clean names; tables are read, hidden files left out."""
    for entry in entries:
        step()
        path = clean(entry.id if isinstance(entry, Problem) else entry.path)
        if hidden(path):
            continue
        if isinstance(entry, Problem):
            yield Problem(short(path), entry.reason)
            continue
        name = f"{entry.shard}/{path}" if entry.shard else path
        if len(name) > MAX_PATH:
            yield Problem(short(name), f"its path has {len(name)} characters; shorten it")
        elif entry.label is None and is_table(path):
            yield from tables.read(path, entry.shard, entry.data)
        else:
            yield entry


def short(name: str) -> str:
    return name if len(name) <= MAX_PATH else name[:MAX_NAME] + "..."
