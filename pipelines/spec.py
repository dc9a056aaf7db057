"""What a user asks for: strict models, every field with its meaning and unit. Imports no torch."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipelines.errors import SpecError

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Strength = Annotated[float, Field(gt=0, le=1)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
Garment = Literal["t-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"]
SceneName = Literal["grass", "water", "sand", "brick", "snow", "night", "wood", "tiles"]


def distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) != len(values):
        raise ValueError(f"{', '.join(map(str, values))} must differ from each other; name each once")
    return values


Garments = Annotated[tuple[Garment, ...], Field(min_length=2), AfterValidator(distinct)]
Scenes = Annotated[tuple[SceneName, ...], Field(min_length=1), AfterValidator(distinct)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


# --- source ---------------------------------------------------------------------------------------------------------


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


# --- models ---------------------------------------------------------------------------------------------------------


class Models(Strict):
    """The checkpoints to use. The defaults are in the package; any diffusers or transformers path or id will do."""

    text_to_image: str = Field("builtin", description="A diffusers checkpoint with a UNet: path, hub id, or 'builtin'.")
    segmenter: str = Field(
        "builtin",
        description="A CLIPSeg checkpoint, a GroundingDINO and a SAM one joined by '+', 'builtin' (CLIPSeg), "
        "or 'cross-attention' (the text-to-image model's own).",
    )
    clip: str = Field("builtin", description="A CLIP checkpoint: path, hub id, or 'builtin'.")
    device: str = Field("auto", description="'auto', 'cpu', 'cuda', 'cuda:1', ...")
    resolution: int | None = Field(None, ge=32, multiple_of=8, description="Side in pixels; none: the checkpoint's own.")


# --- methods --------------------------------------------------------------------------------------------------------


class Inversion(Strict):
    """Textual inversion (Gal et al. 2022, arXiv 2208.01618): one token a class, its embedding the only thing trained."""

    vectors: int = Field(4, ge=1, le=8, description="Embedding vectors of a token.")
    initializer: str | None = Field(None, description="Word that the vectors start from; none: the superclass.")
    images: int = Field(40, ge=1, description="Images a class: half that contradict the shortcut, half that are typical.")
    steps: int = Field(300, ge=1, description="Optimisation steps.")
    batch: int = Field(16, ge=1, description="Images a step.")
    learning_rate: float = Field(3e-3, gt=0, description="Of AdamW, as it is: not scaled by the batch.")
    masked: bool = Field(
        True,
        description="Learn from the object alone: around it, the token must say no more than the superclass does.",
    )
    margin: Share = Field(
        0.8,
        description="How far around the object it is learned from, as a share of its longer side: where an object ends is "
        "part of its shape, and a token that never sees it learns to fill.",
    )
    checkpoint_every: int = Field(100, ge=1, description="Steps after which progress is saved.")


class SpuriousRemoval(Strict):
    """Repaint each class's typical images as the other classes (DDB, ICCV 2025, arXiv 2503.17226)."""

    type: Literal["spurious_removal"]
    superclass: str = Field(description="What all classes are, in one word: segmented, and said in every prompt.")
    inversion: Inversion | None = Field(Inversion(), description="How tokens are learned; none: class names alone.")
    region: Literal["box", "mask", "whole"] = Field(
        "box",
        description="What to repaint: the square around the object, its exact outline (which dictates the shape), or all.",
    )
    grow: float = Field(
        0.1, ge=0, le=1, description="How much the region is widened, as a share of the object's longer side."
    )
    objects: Literal["painted", "real", "both"] = Field(
        "painted",
        description="Where the objects come from: painted by the class's token, as in the paper; or real ones of the class, "
        "grafted in from its other images, where only the gap around them is painted; or half of each.",
    )
    repaint_own: bool = Field(
        True,
        description="Repaint each image as its own class as often as another's, so that the version is balanced in itself.",
    )
    majority: int = Field(300, ge=1, description="Source images a class: those with the lowest loss of a plain classifier.")
    strength: Strength = Field(
        1.0,
        description="Share of the noise schedule that is run. A little less than all leaves a trace of the scene and of the "
        "object's colour, too faint for its shape: what is painted fits its surroundings far more often.",
    )
    guidance: float = Field(5.0, ge=1, description="Classifier-free guidance scale.")
    steps: int = Field(25, ge=1, le=1000, description="Denoising steps.")

    @model_validator(mode="after")
    def objects_have_edges(self) -> "SpuriousRemoval":
        if self.objects != "painted" and self.region == "whole":
            raise ValueError("objects: real ones are cut out, so region must be box or mask; or let objects be painted")
        return self


class TextToImage(Strict):
    """Plain generation from a prompt: the baseline that every other method has to beat."""

    type: Literal["text_to_image"]
    superclass: str | None = Field(None, description="What all classes are, in one word; said after a learned token.")
    inversion: Inversion | None = Field(None, description="How tokens are learned; none: class names alone.")
    guidance: float = Field(2.0, ge=1, description="Classifier-free guidance scale.")
    steps: int = Field(25, ge=1, le=1000, description="Denoising steps.")

    @model_validator(mode="after")
    def superclass_of_tokens(self) -> "TextToImage":
        if self.inversion and not self.superclass:
            raise ValueError("superclass must say what the classes are when inversion is asked for: 'bird'")
        return self


class ImageVariation(Strict):
    """Variations of the source's own images (DA-Fusion, ICLR 2024, arXiv 2302.07944; Real Guidance, arXiv 2210.07574)."""

    type: Literal["image_variation"]
    superclass: str | None = Field(None, description="What all classes are, in one word; said after a learned token.")
    inversion: Inversion | None = Field(
        None, description="How tokens are learned (DA-Fusion); none: class names alone (Real Guidance)."
    )
    strengths: Annotated[tuple[Strength, ...], AfterValidator(distinct)] = Field(
        (0.25, 0.5, 0.75, 1.0),
        min_length=1,
        description="Shares of the noise schedule that are run, one drawn for each image: little keeps it, all forgets it.",
    )
    repaint: Literal["whole", "object", "surroundings"] = Field(
        "whole", description="What may change: all, or only the object, or all but the object."
    )
    grow: float = Field(0.1, ge=0, le=1, description="How much the object is widened, as a share of its longer side.")
    guidance: float = Field(7.5, ge=1, description="Classifier-free guidance scale.")
    steps: int = Field(25, ge=1, le=1000, description="Denoising steps of the full schedule.")

    @model_validator(mode="after")
    def superclass_is_needed(self) -> "ImageVariation":
        if (self.inversion or self.repaint != "whole") and not self.superclass:
            raise ValueError("superclass must say what the classes are when a token is learned or a part repainted: 'bird'")
        return self


METHOD_SPECS = (SpuriousRemoval, TextToImage, ImageVariation)
MethodSpec = Annotated[SpuriousRemoval | TextToImage | ImageVariation, Field(discriminator="type")]


# --- filters --------------------------------------------------------------------------------------------------------


class QualityFilter(Strict):
    """Blank, blurred or saturated images, and repainted regions that do not fit their surroundings."""

    type: Literal["quality"]
    min_contrast: float = Field(0.03, ge=0, description="Least standard deviation of grey levels, 0..1.")
    min_sharpness: float = Field(0.0005, ge=0, description="Least variance of the Laplacian of grey levels.")
    max_seam: float = Field(
        0.06, ge=0, description="Largest change of mean colour, 0..1, along the inner edge of the repainted region."
    )
    max_saturated: Share = Field(0.6, description="Largest share of pixels that are pure black or white.")


class NearDuplicateFilter(Strict):
    """Images that repeat their source or each other, by perceptual hash of the repainted region."""

    type: Literal["near_duplicate"]
    distance: int = Field(3, ge=0, le=64, description="Bits of 64 up to which two images are the same.")


class LabelAgreementFilter(Strict):
    """The prediction head of DDB: a judge must no longer see the class that was painted over."""

    type: Literal["label_agreement"]
    view: Literal["image", "object"] = Field(
        "image",
        description="What the judge sees: the image, as in the paper, or the object alone, so that the background cannot "
        "speak for the class that was painted over.",
    )
    max_origin: Share | None = Field(
        None, description="Largest probability of the painted-over class; none: its mean over that class's typical images."
    )
    min_target: Share | None = Field(None, description="Least probability of the painted class; none: not tested.")


class AttributionFilter(Strict):
    """The attribution head of DDB: integrated gradients from the original to the generated image, inside the region."""

    type: Literal["attribution"]
    min_logits: float = Field(0.3, description="Least attribution of the painted class, in logits.")
    steps: int = Field(16, ge=2, description="Steps of the integral.")


class ClipScoreFilter(Strict):
    """CLIP must see the label rather than the other classes (arXiv 2210.07574, 2406.05184)."""

    type: Literal["clip_score"]
    classes: Literal["names", "images"] = Field(
        "names", description="What a class is compared by: its name, or its real images, for names that CLIP cannot know."
    )
    min_share: Share | None = Field(None, description="Least share of the label among the classes; none: an even one.")
    top: Strength = Field(1.0, description="Share of each class's images that is kept, the best first.")


FILTER_SPECS = (QualityFilter, NearDuplicateFilter, LabelAgreementFilter, AttributionFilter, ClipScoreFilter)
FilterSpec = Annotated[
    QualityFilter | NearDuplicateFilter | LabelAgreementFilter | AttributionFilter | ClipScoreFilter,
    Field(discriminator="type"),
]


# --- evaluation -----------------------------------------------------------------------------------------------------


class Classifier(Strict):
    """A transformers ResNet, from a checkpoint or small and from scratch."""

    checkpoint: str | None = Field(None, description="Path or id of an image classifier to fine-tune; none: a small ResNet.")
    steps: int = Field(400, ge=1, description="Optimisation steps.")
    batch: int = Field(64, ge=2, description="Images a step.")
    learning_rate: float = Field(2e-3, gt=0, description="Peak of a one-cycle AdamW schedule.")


Arm = Literal["erm", "text_to_image", "counterpoise", "real_balanced"]


Recipe = Literal["mixed", "fake_to_real", "balanced_softmax", "last_layer"]


class Evaluation(Strict):
    """Train a classifier with and without the version; compare on the real test split."""

    arms: Annotated[tuple[Arm, ...], AfterValidator(distinct)] = Field(
        ("erm", "counterpoise"), min_length=1, description="What to compare."
    )
    seeds: Annotated[tuple[int, ...], AfterValidator(distinct)] = Field(
        (0, 1, 2), min_length=1, description="Seeds of the trainings."
    )
    recipe: Recipe = Field(
        "mixed",
        description="How generated images are trained on. mixed: half of each batch. fake_to_real: the first half of the "
        "steps on them, the second on real ones (arXiv 2308.04553). balanced_softmax: mixed, with the classes' frequencies "
        "taken out of the loss (arXiv 2007.10740). last_layer: real ones first, then the last layer anew on generated ones "
        "(after arXiv 2204.02937).",
    )
    gamma: Positive | dict[str, Positive] = Field(
        4.0, description="Weight of a generated image's loss against a real one's, for all classes or for each by name."
    )
    reencode: Share = Field(
        0.5,
        description="Share of real images whose object is passed through the generator's autoencoder when trained beside "
        "generated ones, so that real and generated cannot be told apart by it.",
    )


# --- version --------------------------------------------------------------------------------------------------------


class Amount(Strict):
    """How many images to make: one of these."""

    per_class: int | None = Field(None, ge=1, description="Images carrying each label.")
    total: int | None = Field(None, ge=1, description="Images in all, as many of each label.")
    multiply: Positive | None = Field(None, description="Images of a label for each training image that it has.")
    balance: Literal["classes", "groups"] | None = Field(
        None,
        description="As many as fill every class up to the largest, or, by spurious_removal, every class on every group.",
    )

    @model_validator(mode="after")
    def one(self) -> "Amount":
        if len(self.model_fields_set & {name for name, value in self if value is not None}) != 1:
            raise ValueError(f"give one of {', '.join(Amount.model_fields)}")
        return self

    def __str__(self) -> str:
        """As people say it: '300 images a class'."""
        if self.balance:
            return f"as many images as balance the {self.balance}"
        if self.multiply:
            return f"{self.multiply:g} images for each real one"
        return f"{self.per_class} images a class" if self.per_class else f"{self.total} images"


class VersionSpec(Strict):
    """One version of a dataset: this source, this method, this many, these filters."""

    schema_version: Literal[1] = Field(1, description="Version of this format.")
    name: Name = Field(description="Name of the dataset: lower case letters, digits, '.', '_' and '-'.")
    source: SourceSpec = Field(description="The real images.")
    models: Models = Field(Models(), description="The checkpoints to use.")
    method: MethodSpec = Field(description="How images are made.")
    amount: Amount = Field(description="How many.")
    filters: tuple[FilterSpec, ...] = Field((), description="In the order in which they are asked; cheap ones first.")
    max_attempts: int = Field(3, ge=1, description="How often an image is tried before its place stays empty.")
    shard_size: int = Field(100, ge=1, description="Images of the plan in one shard.")
    classifier: Classifier = Field(Classifier(), description="What judges images, and what the evaluation trains.")
    evaluation: Evaluation | None = Field(None, description="None: not evaluated.")
    seed: int = Field(0, ge=0, description="Seed of every random choice.")

    @model_validator(mode="after")
    def one_filter_of_a_type(self) -> "VersionSpec":
        types = [each.type for each in self.filters]
        if len(set(types)) != len(types):
            raise ValueError(f"filters: {', '.join(types)} must differ from each other; name each once")
        return self

    @model_validator(mode="after")
    def groups_can_be_filled(self) -> "VersionSpec":
        if self.amount.balance == "groups" and not isinstance(self.method, SpuriousRemoval):
            raise ValueError("amount.balance: only spurious_removal can fill groups; balance classes, or use that method")
        return self

    @model_validator(mode="after")
    def object_has_a_word(self) -> "VersionSpec":
        looks = any(isinstance(each, LabelAgreementFilter) and each.view == "object" for each in self.filters)
        if looks and not self.method.superclass:
            raise ValueError("method.superclass must say what the classes are when a filter looks at the object: 'bird'")
        return self


CHOICES = {"source": 1, "method": 1, "filters": 2}  # how far behind its name pydantic puts the type that was chosen


def written(place: Sequence[int | str]) -> str:
    """Where a mistake is, as the spec's author wrote it: without the types that pydantic puts in."""
    parts = [str(part) for part in place]
    for name, behind in CHOICES.items():
        if name in parts:
            del parts[parts.index(name) + behind : parts.index(name) + behind + 1]
    return ".".join(parts)


def mistake(error: Mapping[str, Any]) -> tuple[str, str]:
    """One of pydantic's errors as the field, and what is wrong with the value that was given."""
    unknown = error["type"] == "extra_forbidden"
    said = "no such field; correct its name, or remove it" if unknown else error["msg"]
    given = "" if error["type"] == "missing" else f" (given: {error['input']!r:.80})"
    return written(error["loc"]), said + given


def explain(error: ValidationError) -> str:
    """One line a mistake."""
    return "\n".join(f"{field or 'spec'}: {said}" for field, said in map(mistake, error.errors()))


def parse(value: Any) -> VersionSpec:
    """Check a spec. Raises SpecError that names every wrong field, its value and what would be right."""
    try:
        return VersionSpec.model_validate(value)
    except ValidationError as error:
        raise SpecError(explain(error)) from None


def load(path: Path) -> VersionSpec:
    """Read a YAML or JSON spec. A relative folder in it is taken from the spec's own place. Raises SpecError."""
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: cannot be read ({error}); give the path of a YAML or JSON file") from None
    except yaml.YAMLError as error:
        raise SpecError(f"{path}: not valid YAML or JSON: {error}") from None
    spec = parse(value)
    if isinstance(spec.source, FolderSource) and not Path(spec.source.path).is_absolute():
        folder = spec.source.model_copy(update={"path": str((path.parent / spec.source.path).resolve())})
        spec = spec.model_copy(update={"source": folder})
    return spec
