"""From the files of a source to its items: each is checked, then all are sorted."""

from collections.abc import Callable, Iterable

from pipelines.progress import step
from pipelines.records import Problem
from pipelines.source.annotations import Annotations, is_table
from pipelines.source.checks import Contents, Entry, Picture, check_picture
from pipelines.source.decode import BadImage
from pipelines.source.layout import MAX_NAME
from pipelines.source.names import clean, hidden
from pipelines.source.sorting import sort

MAX_PATH = 1000  # characters of a path


def collect(
    entries: Iterable[Entry | Problem],
    keep: Callable[[str, Entry], None],
    *,
    allow_synthetic: bool,
    where: str = "source",
) -> Contents:
    """Check every image, `keep` each that is good by its SHA-256, and sort them into classes and splits.

    Raises SourceError for a table that cannot be read.
    """
    pictures: list[Picture] = []
    problems: list[Problem] = []
    tables, kept = Annotations(where), set[str]()
    for entry in entries:
        step()
        if isinstance(entry, Problem):
            name = clean(entry.id)
            if not hidden(name):
                problems.append(Problem(short(name), entry.reason))
            continue
        path = clean(entry.path)
        if hidden(path):
            continue
        name = f"{entry.shard}/{path}" if entry.shard else path
        if len(name) > MAX_PATH:
            problems.append(Problem(short(name), f"its path has {len(name)} characters; shorten it"))
        elif entry.label is None and is_table(path):
            problems.extend(tables.read(path, entry.shard, entry.data))
        else:
            try:
                picture = check_picture(entry, path, allow_synthetic)
            except BadImage as error:
                problems.append(Problem(name, str(error)))
                continue
            if picture.sha256 not in kept:
                kept.add(picture.sha256)
                keep(picture.sha256, entry)
            pictures.append(picture)
    return sort(pictures, tables, problems)


def short(name: str) -> str:
    return name if len(name) <= MAX_PATH else name[:MAX_NAME] + "..."
