"""Where the real images come from."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from pipelines.spec.base import Name, Share, Strict, distinct

Garment = Literal["t-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"]
SceneName = Literal["grass", "water", "sand", "brick", "snow", "night", "wood", "tiles"]
Garments = Annotated[tuple[Garment, ...], Field(min_length=2), AfterValidator(distinct)]
Scenes = Annotated[tuple[SceneName, ...], Field(min_length=1), AfterValidator(distinct)]


class FolderSource(Strict):
    """An image folder: `train/<class>/*.png`, optionally `validation/` and `test/`, each optionally with a
    `metadata.csv` of `file_name` and `group` columns."""

    type: Literal["folder"]
    path: str = Field(description="Folder of the images.")
    max_problems: Share = Field(0.1, description="Share of unreadable images above which the source is refused.")
    allow_synthetic: bool = Field(False, description="Take generated images as real ones.")


class UploadedSource(Strict):
    """Images that were sent to the service as a tar, zip or Parquet file: `PUT /v1/sources/{name}`."""

    type: Literal["uploaded"]
    name: Name = Field(description="Name that the images were sent under.")
    digest: str | None = Field(
        None, pattern=r"^[0-9a-f]{16}$", description="Which state of it; none: the newest when the version is asked for."
    )
    max_problems: Share = Field(0.1, description="Share of refused images above which the source is refused.")


class SpuriousSource(Strict):
    """Fashion Scenes with a shortcut: each class stands mostly on its own scene. Validation and test are balanced."""

    type: Literal["spurious"]
    classes: Garments = Field(("boot", "sneaker"), description="Garments to tell apart.")
    scenes: Scenes = Field(("grass", "brick"), description="The scene of each class.")
    ratio: float = Field(0.95, gt=0.5, le=1, description="Share of a class's training images on its own scene.")
    train: int = Field(1000, ge=20, description="Training images, all classes together.")
    validation: int = Field(400, ge=8, description="Validation images, all groups together.")
    test: int = Field(800, ge=8, description="Test images, all groups together.")
    seed: int = Field(0, ge=0, description="Seed of the rendering.")

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
    seed: int = Field(0, ge=0, description="Seed of the rendering.")


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
    seed: int = Field(0, ge=0, description="Seed of the rendering.")


SourceSpec = Annotated[
    FolderSource | UploadedSource | SpuriousSource | FewShotSource | LongTailSource, Field(discriminator="type")
]
