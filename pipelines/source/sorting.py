"""Usable images are sorted into classes, groups and splits: by what stands beside them, in tables, in their folders."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pipelines.records import Item, Problem
from pipelines.source.annotations import Annotation, Annotations
from pipelines.source.checks import Contents, Picture
from pipelines.source.decode import BadImage
from pipelines.source.layout import NO_CLASS, Place, class_name, layout
from pipelines.source.splits import SPLITS, split_in, split_loose

REPEATS = "repeats "  # how the reasons begin, or end, of images that are there twice
BETWEEN_SPLITS = ", in another split"
BETWEEN_CLASSES = "; decide for one class"


def split_word(split: str | None) -> str | None:
    """The split that a table names. Raises BadImage."""
    if split is not None and split_in(split) is None:
        raise BadImage(f"split {split[:40]!r} is none of train, validation, test; rename it")
    return split_in(split) if split is not None else None


@dataclass(frozen=True, slots=True)
class Sorted:
    """A usable image with its class, and the split and group it has, if any."""

    picture: Picture
    label: str
    split: str | None
    group: str | None

    @classmethod
    def of(cls, picture: Picture, table: Annotation, place: Place) -> "Sorted":
        """What stands beside an image has the word, then tables, then folders. Raises BadImage without a class."""
        label = picture.label or table.label or place.label
        if label is None:
            raise BadImage(place.reason or NO_CLASS)
        split = picture.split or split_word(table.split) or place.split
        return cls(picture, class_name(label), split, picture.group or table.group)

    @property
    def rank(self) -> tuple[int, str, str]:
        """Of two with the same bytes or name the first is used: training images before others, whatever their order."""
        return SPLITS.index(self.split or "train"), self.picture.id, self.picture.sha256

    @property
    def id(self) -> str:
        """Of images in shards by their content, so that the same ones packed otherwise are the same source."""
        picture = self.picture
        by_content = picture.shard or picture.label is not None
        return f"{self.label}/{picture.sha256[:16]}" if by_content else picture.path


def repeated(one: Sorted, twin: Sorted) -> str:
    """Why an image is not used whose bytes another has."""
    name = twin.picture.id
    if twin.label != one.label:
        return f"is also in class {twin.label!r} as {name}{BETWEEN_CLASSES}"
    return f"{REPEATS}{name}{BETWEEN_SPLITS if twin.split != one.split else ''}"


def distinct(pictures: Iterable[Sorted], problems: list[Problem]) -> Iterator[Sorted]:
    """One of those with the same bytes or name; a problem for each other."""
    first: dict[str, Sorted] = {}
    names: set[str] = set()
    for one in sorted(pictures, key=lambda one: one.rank):
        twin = first.setdefault(one.picture.sha256, one)
        if twin is not one:
            problems.append(Problem(one.picture.id, repeated(one, twin)))
        elif one.id in names:
            reason = "has the name of another image, but for characters that are no UTF-8 or composed; rename it"
            problems.append(Problem(one.picture.id, reason))
        else:
            names.add(one.id)
            yield one


def sort(pictures: Sequence[Picture], tables: Annotations, problems: list[Problem]) -> Contents:
    """The items of all splits, each sorted by its id, and the problems, more than there were."""
    missing = tables.missing([picture.id for picture in pictures] + [problem.id for problem in problems])
    annotations = [tables.of(picture.id) for picture in pictures]
    labelled = [(picture.label or table.label) is not None for picture, table in zip(pictures, annotations, strict=True)]
    places = layout({picture.path: known for picture, known in zip(pictures, labelled, strict=True)})
    usable: list[Sorted] = []
    left_out: dict[str, Problem] = {}  # folders
    for picture, table, known in zip(pictures, annotations, labelled, strict=True):
        place = places[picture.path]
        if place.folder and not known:
            left_out[place.folder] = Problem(place.folder, place.reason or "")
            continue
        try:
            usable.append(Sorted.of(picture, table, place))
        except BadImage as error:
            problems.append(Problem(picture.id, str(error)))
    splits: dict[str | None, list[Item]] = {split: [] for split in (*SPLITS, None)}
    used: dict[str, Picture] = {}
    for one in distinct(usable, problems):
        used[one.picture.sha256] = one.picture
        splits[one.split].append(Item(one.id, one.picture.sha256, one.label, one.group))
    loose = split_loose(splits[None])
    items = {split: sorted(splits[split] + loose[split], key=lambda item: item.id) for split in SPLITS}
    return Contents(items, problems + list(left_out.values()) + missing, used)
