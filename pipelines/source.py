"""Opening a source: which real images there are, and reading them. A bad image is a Problem, never a crash."""

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import PIL.Image
from PIL import ImageOps

from pipelines import paths
from pipelines.builtin import sources as builtin
from pipelines.builtin import wardrobe
from pipelines.builtin.render import render
from pipelines.builtin.world import Factors
from pipelines.errors import SourceError
from pipelines.records import Image, Item, Mask, Problem
from pipelines.spec import FolderSource, SourceSpec, UploadedSource
from pipelines.store import Store, digest
from pipelines.synthetic import is_synthetic

FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}
METADATA = "metadata.csv"
MAX_PIXELS = 50_000_000
SPLITS = ("train", "validation", "test")


class BadImage(ValueError):
    """What is wrong with an image, and the remedy."""


@dataclass(frozen=True)
class Source:
    """An opened source. `splits` always has train, validation and test; only built-in ones have a reserve."""

    classes: tuple[str, ...]
    splits: dict[str, list[Item]]
    read: Callable[[Item], Image] = field(repr=False)
    problems: list[Problem] = field(default_factory=list)
    truth: Callable[[Item], Mask] | None = field(default=None, repr=False)  # exact masks, where they are known

    @property
    def fingerprint(self) -> str:
        """Hash of every image, label and group: what a concept or a plan made from this source depends on."""
        return digest([[s, i.id, i.sha256, i.label, i.group] for s in SPLITS for i in self.splits[s]])

    @property
    def counts(self) -> dict[str, dict[str | None, int]]:
        """Training images of each class by group."""
        return {label: dict(Counter(item.group for item in self.of(label))) for label in self.classes}

    def of(self, label: str, split: str = "train") -> list[Item]:
        return [item for item in self.splits[split] if item.label == label]

    def image(self, item: Item, resolution: int) -> Image:
        """The image as every model sees it: uint8 (resolution, resolution, 3)."""
        return square(self.read(item), resolution)


def square(image: Image, resolution: int) -> Image:
    """Cut out the central square and resize it: the one transform between a source and a model, without chance."""
    height, width = image.shape[:2]
    if (height, width) == (resolution, resolution):
        return image
    fitted = ImageOps.fit(PIL.Image.fromarray(image), (resolution, resolution), PIL.Image.Resampling.LANCZOS)
    return np.asarray(fitted)


def decode(data: bytes, *, allow_synthetic: bool = False) -> Image:
    """Decode one image of an allowed format, upright and in RGB. Raises BadImage."""
    try:
        with PIL.Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise BadImage(f"{image.width}x{image.height} pixels: more than {MAX_PIXELS}; scale it down")
            if image.mode.startswith("I"):
                raise BadImage("more than 8 bits a channel; save it with 8")
            image.load()  # a PNG may carry its mark after its pixels
            if not allow_synthetic and is_synthetic(image):
                raise BadImage(
                    "marked as generated: models that eat their own images collapse; remove it, or allow_synthetic"
                )
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except BadImage:
        raise
    except PIL.UnidentifiedImageError:
        raise BadImage(f"not a readable {', '.join(FORMATS)} image; convert it") from None
    except Exception as error:  # a decoder may raise anything on damaged bytes
        raise BadImage(f"damaged image ({error}); replace it") from None


def fetch(path: Path, root: Path, *, allow_synthetic: bool) -> bytes:
    """The bytes of a usable image file inside `root`. Raises BadImage."""
    if path.suffix.lower() not in SUFFIXES:
        raise BadImage(f"suffix {path.suffix!r} is not one of {', '.join(sorted(SUFFIXES))}; convert or remove it")
    try:
        if root.resolve() not in path.resolve().parents:
            raise BadImage("is a link out of the source's folder; copy the file into it")
        data = path.read_bytes()
    except (OSError, RuntimeError) as error:  # RuntimeError: a link to itself
        raise BadImage(f"cannot be read ({type(error).__name__}); make it a readable file, or remove it") from None
    decode(data, allow_synthetic=allow_synthetic)
    return data


def groups(folder: Path) -> dict[str, str]:
    """The `group` of each file, from `metadata.csv` in a split's folder, by path relative to it."""
    table = folder / METADATA
    if not table.exists():
        return {}
    try:
        return read_groups(table.read_bytes(), str(table))
    except OSError as error:
        raise SourceError(f"{table}: cannot be read ({error}); save it as CSV in UTF-8") from None


def read_groups(data: bytes, where: str) -> dict[str, str]:
    """`group` by `file_name`. Raises SourceError."""
    try:
        rows = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{where}: cannot be read ({error}); save it as CSV in UTF-8") from None
    if rows and not {"file_name", "group"} <= rows[0].keys():
        raise SourceError(f"{where}: needs the columns file_name and group, has {', '.join(map(str, rows[0]))}")
    return {row["file_name"]: row["group"] for row in rows if row["file_name"]}


def held_out(sha256: str) -> str:
    """The split of an image in a folder without splits, by its content: 15 % validation, 15 % test."""
    share = int(sha256[:8], 16) / 16**8
    return "validation" if share < 0.15 else "test" if share < 0.30 else "train"


def split_up(items: Sequence[Item]) -> dict[str, list[Item]]:
    """Images that came without splits, in splits: by their content, but so that every class is in each if it can be."""
    splits: dict[str, list[Item]] = {split: [] for split in SPLITS}
    for item in items:
        splits[held_out(item.sha256)].append(item)
    for label in sorted({item.label for item in items}):
        for split in SPLITS:
            mine = {s: [item for item in splits[s] if item.label == label] for s in SPLITS}
            largest = max(SPLITS, key=lambda s: len(mine[s]))
            if not mine[split] and len(mine[largest]) > 1:
                moved = min(mine[largest], key=lambda item: item.sha256)
                splits[largest].remove(moved)
                splits[split].append(moved)
    return splits


def open_folder(spec: FolderSource) -> Source:
    """Index an image folder. Raises SourceError when it is missing, has no two classes, or too many bad images."""
    root = Path(spec.path)
    if not root.is_dir():
        raise SourceError(f"source.path: {root} is not a folder; give one that holds <class>/ or train/<class>/ folders")
    has_splits = (root / "train").is_dir()
    splits: dict[str, list[Item]] = {split: [] for split in SPLITS}
    loose: list[Item] = []
    problems: list[Problem] = []
    for part in [root / s for s in SPLITS] if has_splits else [root]:
        group_of = groups(part) if part.is_dir() else {}
        for path in sorted(part.glob("*/*")):
            name, inside = path.relative_to(root).as_posix(), path.relative_to(part).as_posix()
            try:
                data = fetch(path, root, allow_synthetic=spec.allow_synthetic)
            except BadImage as error:
                problems.append(Problem(name, str(error)))
                continue
            sha256 = hashlib.sha256(data).hexdigest()
            item = Item(name, sha256, path.parent.name, group_of.get(inside))
            (splits[part.name] if has_splits else loose).append(item)

    if not has_splits:
        splits = split_up(loose)

    def read(item: Item) -> Image:
        return decode((root / item.id).read_bytes(), allow_synthetic=True)

    return checked(splits, problems, read, f"source.path: {root}", spec.max_problems)


def open_uploaded(spec: UploadedSource, store: Store) -> Source:
    """Open images that were uploaded. Raises SourceError when there are none, no two classes, or too many bad ones."""
    key = paths.newest(spec.name)
    if spec.digest is None and not store.exists(key):
        raise SourceError(f"source.name: nothing was uploaded as {spec.name!r}; send it to /v1/sources/{spec.name} first")
    key = paths.index(spec.name, spec.digest or store.json(key)["digest"])
    if not store.exists(key):
        raise SourceError(f"source.digest: {spec.name!r} has no state {spec.digest!r}; leave it out for the newest")
    index = store.json(key)
    splits: dict[str, list[Item]] = {split: [] for split in SPLITS}
    for row in index["items"]:
        splits[row["split"]].append(Item(row["id"], row["sha256"], row["label"], row["group"]))

    def read(item: Item) -> Image:
        return decode(store.get(paths.blob(item.sha256)), allow_synthetic=True)

    problems = [Problem(each["id"], each["reason"]) for each in index["problems"]]
    return checked(splits, problems, read, f"source.name: {spec.name}", spec.max_problems)


def checked(
    splits: dict[str, list[Item]], problems: list[Problem], read: Callable[[Item], Image], where: str, most: float
) -> Source:
    """A source of real images. Raises SourceError unless it has two classes and few enough problems."""
    classes = tuple(sorted({item.label for item in splits["train"]}))
    for split, items in splits.items():
        splits[split] = [item for item in items if item.label in classes]
        untaught = [item for item in items if item.label not in classes]
        problems += [Problem(i.id, f"class {i.label!r} has no training images; add some, or remove it") for i in untaught]
    good = sum(map(len, splits.values()))
    if len(classes) < 2:
        raise SourceError(f"{where} has {len(classes)} classes with readable training images; at least 2 are needed")
    if len(problems) > most * (good + len(problems)):
        listed = "; ".join(f"{p.id}: {p.reason}" for p in problems[:5])
        raise SourceError(
            f"{where}: {len(problems)} of {good + len(problems)} files cannot be used, more than "
            f"max_problems = {most:.0%}: {listed}"
        )
    return Source(classes, splits, read, problems)


def open_builtin(spec: builtin.BuiltinSpec) -> Source:
    """Render a built-in source, each picture when it is read."""
    stock = wardrobe.for_sources().items
    factors: dict[str, Factors] = {}
    splits: dict[str, list[Item]] = {}
    for split, pictures in builtin.splits(spec).items():
        counted: Counter[str] = Counter()
        splits[split] = []
        for picture in pictures:
            name = f"{split}/{picture.garment}/{counted[picture.garment]:05d}.png"
            counted[picture.garment] += 1
            factors[name] = picture
            sha256 = hashlib.sha256(repr(picture).encode() + stock[picture.garment][picture.item].tobytes()).hexdigest()
            splits[split].append(Item(name, sha256, picture.garment, picture.scene))

    def scene(item: Item) -> Factors:
        return factors[item.id]

    def read(item: Item) -> Image:
        return render(scene(item), stock[item.label][scene(item).item]).image

    def truth(item: Item) -> Mask:
        return render(scene(item), stock[item.label][scene(item).item]).mask

    return Source(tuple(spec.classes), splits, read, truth=truth)


def open_source(spec: SourceSpec, store: Store | None = None) -> Source:
    """Open any source; uploaded ones lie in a store. Raises SourceError with the remedy."""
    if isinstance(spec, FolderSource):
        return open_folder(spec)
    if not isinstance(spec, UploadedSource):
        return open_builtin(spec)
    if store is None:
        raise SourceError("source.type: uploaded images lie in a service's store; submit the spec there")
    return open_uploaded(spec, store)
