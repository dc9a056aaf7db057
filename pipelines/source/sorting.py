"""Usable images are sorted into classes, groups and splits: by what stands beside them, in tables, in their folders."""

from collections.abc import Sequence

from pipelines.records import Item, Problem
from pipelines.source.annotations import Annotation, Annotations
from pipelines.source.checks import Contents, Picture
from pipelines.source.decode import BadImage
from pipelines.source.layout import NO_CLASS, Place, class_name, layout
from pipelines.source.splits import SPLITS, split_in, split_loose


def split_word(split: str | None) -> str | None:
    """The split that a table names. Raises BadImage."""
    if split is not None and split_in(split) is None:
        raise BadImage(f"split {split[:40]!r} is none of train, validation, test; rename it")
    return split_in(split) if split is not None else None


class Sorter:
    """Makes items of pictures one by one. Of two with the same bytes the first is used."""

    def __init__(self) -> None:
        self.by_hash: dict[str, Item] = {}
        self.names: dict[str, str] = {}  # by hash
        self.ids: set[str] = set()

    def item(self, picture: Picture, table: Annotation, place: Place) -> tuple[str | None, Item]:
        """Its split, None where unknown, and its item. Raises BadImage."""
        label = picture.label or table.label
        if label is None:
            if place.label is None:
                raise BadImage(place.reason or NO_CLASS)
            label = place.label
        label, sha256 = class_name(label), picture.sha256
        split = picture.split or split_word(table.split) or place.split
        if twin := self.by_hash.get(sha256):
            name = self.names[sha256]
            raise BadImage(
                f"repeats {name}"
                if twin.label == label
                else f"is also in class {twin.label!r} as {name}; decide for one class"
            )
        of_content = picture.shard or picture.label is not None  # the same images packed otherwise are the same source
        identity = f"{label}/{sha256[:16]}" if of_content else picture.path
        if identity in self.ids:
            raise BadImage("has the name of another image, but for characters that are no UTF-8 or composed; rename it")
        item = Item(identity, sha256, label, picture.group or table.group)
        self.by_hash[sha256], self.names[sha256] = item, picture.id
        self.ids.add(identity)
        return split, item


def sort(pictures: Sequence[Picture], tables: Annotations, problems: list[Problem]) -> Contents:
    """The items of all splits, each sorted by its id, and the problems, more than there were."""
    said = [tables.of(picture.id) for picture in pictures]
    places = layout(
        {picture.path: (picture.label or table.label) is not None for picture, table in zip(pictures, said, strict=True)}
    )
    splits: dict[str, list[Item]] = {split: [] for split in SPLITS}
    loose: list[Item] = []
    missing = tables.missing([picture.id for picture in pictures] + [problem.id for problem in problems])
    sorter, left_out = Sorter(), dict[str, Problem]()
    for picture, table in zip(pictures, said, strict=True):
        place = places[picture.path]
        if place.folder and (picture.label or table.label) is None:
            left_out.setdefault(place.folder, Problem(place.folder, place.reason or ""))
            continue
        try:
            split, item = sorter.item(picture, table, place)
        except BadImage as error:
            problems.append(Problem(picture.id, str(error)))
            continue
        (loose if split is None else splits[split]).append(item)
    for split, items in split_loose(loose).items():
        splits[split] = sorted(splits[split] + items, key=lambda item: item.id)
    return Contents(splits, problems + list(left_out.values()) + missing)
