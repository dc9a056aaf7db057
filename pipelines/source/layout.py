"""What the folders of a source say: class/file, or split/class/file, perhaps all inside folders that they share."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath

from pipelines.source.decode import BadImage
from pipelines.source.names import UNREADABLE
from pipelines.source.splits import split_of_folder

MAX_NAME = 100  # characters of a class or a group
NO_CLASS = "lies in no class's folder; put it into class/ or train/class/, or name its class in a metadata.csv"
TOO_DEEP = "lies too deep; put it right below its class's folder"
LEFT_OUT = "is none of train, validation, test: left out"


@dataclass(frozen=True, slots=True)
class Place:
    """What the folders of one image say. None: nothing."""

    split: str | None = None
    label: str | None = None
    reason: str | None = None  # why it cannot be used, and the remedy
    folder: str | None = None  # that all of it holds for


def class_name(label: str) -> str:
    """The label, if it is a valid class name. Raises BadImage."""
    if UNREADABLE in label:
        raise BadImage(f"its class {label[:MAX_NAME]!r} is not in UTF-8; rename it, or pack it again with names in UTF-8")
    if not re.fullmatch(r"[^\x00-\x1f/]{1,100}", label):
        raise BadImage(f"{label[:MAX_NAME]!r} is no name of a class; put the image into class/ or train/class/")
    return label


def shared(folders: list[tuple[str, ...]]) -> int:
    """How many folders all images lie in that are neither a split nor a class: 1 for data/boot/1.png, data/shoe/2.png."""
    count = 0
    while (
        all(len(parts) > count + 1 for parts in folders)
        and len({parts[count] for parts in folders}) == 1
        and split_of_folder(folders[0][count]) is None
    ):
        count += 1
    return count


def layout(paths: Mapping[str, bool]) -> dict[str, Place]:
    """The place of each image by its path; the value is whether its class is known from elsewhere.

    A folder by the name of a split is one where there are classes in it; beside images of classes it is a class (CIFAR-100
    has a class of trains).
    """
    folder_of = cache(lambda parent: PurePosixPath(parent).parts)  # one tuple for all of its images
    folders: dict[str, tuple[str, ...]] = {path: folder_of(path.rpartition("/")[0]) for path in paths}
    if not folders:
        return {}
    kinds = {(folders[path], known) for path, known in paths.items()}
    outer = shared([parts for parts, known in kinds if parts or not known] or [()])
    inner = {(parts[outer:], known) for parts, known in kinds if parts[outer:]}
    splits = {parts[0] for parts, known in inner if (len(parts) > 1 or known) and split_of_folder(parts[0])}
    no_classes = all(split_of_folder(parts[0]) for parts, _ in inner)  # train/1.png beside test/2.png

    @cache
    def place(folder: tuple[str, ...], known: bool) -> Place:
        parts = folder[outer:]
        if known:
            return Place(split=split_of_folder(parts[0]) if parts and splits else None)
        if not parts or (no_classes and len(parts) == 1):
            return Place(reason=NO_CLASS)
        if not splits:
            return Place(label=parts[0]) if len(parts) == 1 else Place(reason=TOO_DEEP)
        split = split_of_folder(parts[0])
        if split is None:
            return Place(reason=LEFT_OUT, folder="/".join(folder[: outer + 1]))
        if len(parts) == 1:
            return Place(reason=NO_CLASS)
        return Place(split, parts[1]) if len(parts) == 2 else Place(reason=TOO_DEEP)

    return {path: place(folders[path], known) for path, known in paths.items()}
