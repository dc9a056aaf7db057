"""The checks that every image of a source passes, wherever it comes from; then images are sorted into classes and splits."""

import csv
import hashlib
import io
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

from pipelines.errors import SourceError
from pipelines.progress import step
from pipelines.records import Item, Problem
from pipelines.source.decode import MAX_FILE, BadImage, load
from pipelines.source.splits import SPLITS, split_loose

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}
METADATA = "metadata.csv"
MAX_NAME = 100  # characters of a class or a group
MAX_PATH = 1000  # characters of a path


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, or a row of a table, that should be an image."""

    path: str  # in its folder or archive; gives class and split where no annotation does
    data: bytes = field(repr=False)
    label: str | None = None
    group: str | None = None
    split: str | None = None
    shard: str = ""  # the file that it lies in, of several
    place: Any = None  # where its reader finds the bytes again

    @property
    def id(self) -> str:
        return f"{self.shard}/{self.path}" if self.shard else self.path


Entries = Iterator[Entry | Problem]


@dataclass
class Contents:
    """The usable images of a source by split, and the problems of all others."""

    splits: dict[str, list[Item]]
    problems: list[Problem]


def readable(name: str) -> str:
    """A name as valid Unicode, without "./": bytes that are no UTF-8 come out of an archive as lone surrogates."""
    return PurePosixPath(name.encode("utf-8", "replace").decode()).as_posix()


def hidden(path: str) -> bool:
    """Whether a file is hidden or the operating system's, as .DS_Store and __MACOSX: skipped, no problem."""
    return any((part.startswith(".") and part != "..") or part == "__MACOSX" for part in PurePosixPath(path).parts)


def check_suffix(path: str) -> None:
    """Raises BadImage for a file whose suffix is no image's: it is never opened."""
    suffix = PurePosixPath(path).suffix.lower()
    if not suffix:
        raise BadImage("is no image by its name; images lie right below their class's folder, each with its suffix")
    if suffix not in SUFFIXES:
        raise BadImage(f"suffix {suffix!r} is not one of {', '.join(sorted(SUFFIXES))}; convert or remove it")


def class_name(label: str) -> str:
    """The label, if it is a valid class name. Raises BadImage."""
    if not re.fullmatch(r"[^\x00-\x1f/]{1,100}", label) or label in SPLITS:
        raise BadImage(f"{label[:MAX_NAME]!r} is no name of a class; put the image into class/ or train/class/")
    return label


def check_group(group: str | None) -> None:
    """Raises BadImage for a group whose name is no name."""
    if group is not None and len(group) > MAX_NAME:
        raise BadImage(f"its group has {len(group)} characters, more than {MAX_NAME}; shorten it")


def split_and_class(path: str) -> tuple[str | None, str]:
    """Split and class of a file by its path: [train|validation|test]/class/file, in any folder. Raises BadImage."""
    parts = PurePosixPath(path.replace("\\", "/")).parts
    if len(parts) < 2:
        raise BadImage("lies in no class's folder; put it into class/ or train/class/")
    if any(part in SPLITS for part in parts[:-3]):
        raise BadImage("lies too deep; put it right below its class's folder")
    return parts[-3] if len(parts) > 2 and parts[-3] in SPLITS else None, class_name(parts[-2])


def check_entry(entry: Entry, seen: dict[str, tuple[str, str]], allow_synthetic: bool) -> tuple[str | None, Item]:
    """Split, None where unknown, and item of a usable image. Raises BadImage."""
    path = entry.path.replace("\\", "/")
    if ".." in path.split("/") or path.startswith("/") or "\0" in path:
        raise BadImage("its path leaves the archive; pack it again with paths inside the folder")
    split, label = split_and_class(path) if entry.label is None else (None, class_name(entry.label))
    if entry.label is None:
        check_suffix(path)
    check_group(entry.group)
    if len(entry.data) > MAX_FILE:
        raise BadImage(f"larger than {MAX_FILE // 2**20} MiB; scale it down")
    load(entry.data, allow_synthetic=allow_synthetic)
    sha256 = hashlib.sha256(entry.data).hexdigest()
    if sha256 in seen:
        twin, other = seen[sha256]
        raise BadImage(
            f"repeats {twin}" if other == label else f"is also in class {other!r} as {twin}; decide for one class"
        )
    seen[sha256] = entry.id, label
    of_content = entry.shard or entry.label is not None  # so that the same images packed otherwise are the same source
    return entry.split or split, Item(f"{label}/{sha256[:16]}" if of_content else entry.path, sha256, label, entry.group)


def read_groups(data: bytes, where: str) -> dict[str, str]:
    """`group` by `file_name`. Raises SourceError."""
    try:
        rows = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{where}: cannot be read ({error}); save it as CSV in UTF-8") from None
    if rows and not {"file_name", "group"} <= rows[0].keys():
        raise SourceError(f"{where}: needs the columns file_name and group, has {', '.join(map(str, rows[0]))[:300]}")
    groups = {row["file_name"]: row["group"] for row in rows if row["file_name"]}
    if long := [group for group in groups.values() if group and len(group) > MAX_NAME]:
        raise SourceError(f"{where}: the group {long[0][:MAX_NAME]!r}... is longer than {MAX_NAME} characters; shorten it")
    return groups


def collect(
    entries: Iterable[Entry | Problem], keep: Callable[[Item, Entry], None], *, allow_synthetic: bool, where: str = "source"
) -> Contents:
    """Check every image, `keep` each that is good, and sort them. Raises SourceError for groups that cannot be read."""
    splits: dict[str, list[Item]] = {split: [] for split in SPLITS}
    loose: list[Item] = []
    problems: list[Problem] = []
    seen: dict[str, tuple[str, str]] = {}
    group_of: dict[str, str] = {}
    for entry in entries:
        step()
        if hidden(entry.id if isinstance(entry, Problem) else entry.path):
            continue
        if len(entry.id) > MAX_PATH:
            problems.append(Problem(entry.id[:MAX_NAME] + "...", f"its path has {len(entry.id)} characters; shorten it"))
            continue
        if isinstance(entry, Problem):
            problems.append(entry)
            continue
        if PurePosixPath(entry.path).name == METADATA:
            home = PurePosixPath(entry.path).parent
            groups = read_groups(entry.data, f"{where}: {entry.id}")
            group_of |= {(home / file).as_posix(): group for file, group in groups.items()}
            continue
        try:
            split, item = check_entry(entry, seen, allow_synthetic)
        except BadImage as error:
            problems.append(Problem(entry.id, str(error)))
            continue
        keep(item, entry)
        (loose if split is None else splits[split]).append(item)
    known = {item.id for items in (loose, *splits.values()) for item in items} | {problem.id for problem in problems}
    missing = sorted(set(group_of) - known)
    reason = f"is named in {METADATA}, and not there; correct the name, or remove the row"
    problems += [Problem(path, reason) for path in missing]
    for split, items in split_loose(loose).items():
        splits[split] += items
    for split, items in splits.items():
        grouped = [replace(item, group=item.group or group_of.get(item.id)) for item in items]
        splits[split] = sorted(grouped, key=lambda item: item.id)
    return Contents(splits, problems)
