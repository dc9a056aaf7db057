"""Where the real images come from."""

import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from pipelines.spec.base import Name, Share, Strict, distinct

Garment = Literal["t-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"]
SceneName = Literal["grass", "water", "sand", "brick", "snow", "night", "wood", "tiles"]
Garments = Annotated[tuple[Garment, ...], Field(min_length=2), AfterValidator(distinct)]
Scenes = Annotated[tuple[SceneName, ...], Field(min_length=1), AfterValidator(distinct)]


S3 = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.*)?")


def remote(path: str) -> bool:
    return path.startswith("s3://")


def location(path: str) -> str:
    """A local path, its separators as Windows has them or not, or s3://bucket/prefix: no other URL, and nothing that leads
    out of a prefix."""
    if "://" in path and not S3.fullmatch(path):
        raise ValueError("is no folder; give a local path, or s3://bucket/prefix")
    if remote(path) and {"", ".", ".."} & set(path.removesuffix("/").split("/")[3:]):
        raise ValueError("must name its prefix without '.', '..' and empty parts")
    if not path.isprintable():
        raise ValueError("holds a character that cannot be printed; remove it")
    return path if remote(path) else path.replace("\\", "/")


def local(identity: str) -> bool:
    """Whether a dataset's id is a folder's path."""
    return identity.startswith(("/", ".", "~", "\\"))


def dataset(identity: str) -> str:
    if not local(identity) and not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", identity, re.ASCII):
        raise ValueError("is no dataset; give organisation/name, or the path of a folder, which begins with / or .")
    return location(identity)


Location = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(location)]
AllowSynthetic = Annotated[bool, Field(description="Accept images marked as generated as real ones.")]
ImageColumn = Annotated[str, Field(description="Column of the images: bytes, or Hugging Face's image.")]
LabelColumn = Annotated[str, Field(description="Column of the classes: names, or a ClassLabel's integers.")]
GroupColumn = Annotated[str | None, Field(description="Column of the groups; none: `group`, if there is one.")]


class RealSource(Strict):
    """What all sources of one's own images have: which of them are used."""

    classes: Annotated[tuple[str, ...], AfterValidator(distinct)] | None = Field(
        None, min_length=2, description="Classes to use; none: all."
    )
    shots: int | None = Field(
        None, ge=1, description="Training images to use of each class, chosen by their content; none: all."
    )
    validation_share: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Share of each class's training images to hold out for validation, where only train and test are given.",
    )
    max_problems: Share = Field(0.1, description="Share of unusable images above which the source is refused.")


class FolderSource(RealSource):
    """An image folder: `train/<class>/*.png`, optionally `validation/` and `test/`, or `<class>/*.png`; optionally with a
    `metadata.csv` (or `.jsonl`, `.parquet`) of the columns `file_name` and `label`, `group` or `split`."""

    type: Literal["folder"]
    path: Location = Field(description="Folder of the images, or s3://bucket/prefix.")
    allow_synthetic: AllowSynthetic = False


class ParquetSource(RealSource):
    """Parquet files with an image and a label in each row. Splits come from a column, or the files' names."""

    type: Literal["parquet"]
    path: Location = Field(description="Folder of *.parquet, or a pattern in one, also on s3://: shoes/train-*.parquet")
    image: ImageColumn = "image"
    label: LabelColumn = "label"
    group: GroupColumn = None
    split: str | None = Field(None, description="Column of the splits; none: `split`, if there is one.")
    allow_synthetic: AllowSynthetic = False


class WebDatasetSource(RealSource):
    """Uncompressed tar shards of `key.png` with `key.cls` (the class) or `key.json` (`label`, `group`, `split`) beside it.
    Splits come from the shards' names, too."""

    type: Literal["webdataset"]
    path: Location = Field(description="Folder of *.tar, or a pattern in one, also on s3://: shoes/train-*.tar")
    allow_synthetic: AllowSynthetic = False


class HubSource(RealSource):
    """A dataset of the Hugging Face hub that is kept as Parquet."""

    type: Literal["hub"]
    id: Annotated[str, Field(max_length=1000), AfterValidator(dataset)] = Field(
        description="organisation/name, or a folder in the hub's layout, whose path begins with / or ."
    )
    revision: str | None = Field(None, max_length=200, description="Commit, tag or branch; none: the newest.")
    config: str | None = Field(None, max_length=200, description="Its configuration; none: its only one.")
    image: ImageColumn = "image"
    label: LabelColumn = "label"
    group: GroupColumn = None
    allow_synthetic: AllowSynthetic = False


class UploadedSource(RealSource):
    """Images that were sent to the service as a tar, zip or Parquet file: `PUT /v1/sources/{name}`."""

    type: Literal["uploaded"]
    name: Name = Field(description="Name of the source that the images were uploaded as.")
    digest: str | None = Field(
        None, pattern=r"^[0-9a-f]{16}$", description="Digest of its state; none: the newest when the version is created."
    )


class SpuriousSource(Strict):
    """Fashion Scenes with a shortcut: each class stands mostly on its own scene. Validation and test are balanced."""

    type: Literal["spurious"]
    classes: Garments = Field(("boot", "sneaker"), description="Garments to tell apart.")
    scenes: Scenes = Field(("grass", "brick"), description="The scene of each class.")
    ratio: float = Field(0.95, gt=0.5, le=1, description="Share of a class's training images on its own scene.")
    train: int = Field(1000, ge=20, description="Training images, all classes together.")
    validation: int = Field(400, ge=8, description="Validation images, all groups together.")
    test: int = Field(800, ge=8, description="Test images, all groups together.")
    seed: int = Field(0, ge=0, description="Seed of the rendering, and of which garments are taken.")

    @model_validator(mode="after")
    def one_scene_each(self) -> "SpuriousSource":
        if len(self.classes) != len(self.scenes):
            raise ValueError(f"scenes must name one scene for each of the {len(self.classes)} classes")
        return self


class FewShotSource(Strict):
    """Fashion Scenes with few images a class, on any scene."""

    type: Literal["few-shot"]
    classes: Garments = Field(("sandal", "sneaker", "boot"), description="Garments to tell apart.")
    scenes: Scenes = Field(
        ("grass", "water", "sand", "brick", "snow", "night", "wood", "tiles"), description="Scenes they stand on."
    )
    shots: int = Field(8, ge=1, description="Training images a class.")
    validation: int = Field(300, ge=8, description="Validation images, all classes together.")
    test: int = Field(600, ge=8, description="Test images, all classes together.")
    seed: int = Field(0, ge=0, description="Seed of the rendering, and of which garments are taken.")


class LongTailSource(Strict):
    """Fashion Scenes whose class sizes fall exponentially from `head` to `head / imbalance`."""

    type: Literal["long-tail"]
    classes: Garments = Field(
        ("t-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"),
        description="Garments to tell apart, the most frequent first.",
    )
    scenes: Scenes = Field(
        ("grass", "water", "sand", "brick", "snow", "night", "wood", "tiles"), description="Scenes they stand on."
    )
    head: int = Field(200, ge=2, description="Training images of the largest class.")
    imbalance: float = Field(100, ge=1, description="Largest class size over smallest.")
    validation: int = Field(200, ge=8, description="Validation images, all classes together.")
    test: int = Field(400, ge=8, description="Test images, all classes together.")
    seed: int = Field(0, ge=0, description="Seed of the rendering, and of which garments are taken.")


PathSource = FolderSource | ParquetSource | WebDatasetSource
SourceSpec = Annotated[
    PathSource | HubSource | UploadedSource | SpuriousSource | FewShotSource | LongTailSource, Field(discriminator="type")
]


def absolute(path: str, home: Path) -> str:
    return str((home / os.path.expanduser(path)).resolve())


def anchored(source: SourceSpec, home: Path) -> SourceSpec:
    """The source with a relative path in it taken from the folder `home`, and ~ for what it stands for."""
    match source:
        case FolderSource(path=path) | ParquetSource(path=path) | WebDatasetSource(path=path) if not remote(path):
            return source.model_copy(update={"path": absolute(path, home)})
        case HubSource(id=identity) if local(identity):
            return source.model_copy(update={"id": absolute(identity, home)})
    return source
