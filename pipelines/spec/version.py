"""The spec of one version of a dataset."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from pipelines.spec.amount import Amount
from pipelines.spec.arms import ARMS, PLAIN
from pipelines.spec.base import Name, Strict
from pipelines.spec.counterfactual_pairs import CounterfactualPairs
from pipelines.spec.edit_mix import EditMix
from pipelines.spec.encoding import EncodingSpec, PngEncoding
from pipelines.spec.evaluation import CURRICULA, Classifier, Evaluation
from pipelines.spec.filters import EARLY_SCORES, EarlyVerdict, FilterSpec, LabelAgreementFilter, NearDuplicateFilter
from pipelines.spec.image_variation import ImageVariation
from pipelines.spec.method_table import MethodSpec
from pipelines.spec.methods import SpuriousRemoval, TextToImage
from pipelines.spec.models import Models
from pipelines.spec.sharing import sharing_refusal
from pipelines.spec.sources import SourceSpec
from pipelines.spec.upgrade import CURRENT, lift

Framing = Literal["crop", "pad", "region"]


class VersionSpec(Strict):
    """One version of a dataset: this source, this method, this many, these filters."""

    schema_version: Literal[2] = Field(2, description="Version of the spec's format.")
    name: Name = Field(description="Name of the dataset: lower case letters, digits, '.', '_' and '-'.")
    source: SourceSpec = Field(description="The real images.")
    models: Models = Field(Models(), description="The checkpoints to use.")
    method: MethodSpec = Field(description="How images are generated.")
    framing: Framing | None = Field(
        None,
        description="What the model is given of a source image. crop: the square in its middle. pad: all of it, its borders "
        "mirrored to a square. region: a square around the region that is repainted, at the image's own resolution; the "
        "sample is the whole image, every pixel outside the region its own. None: region where a part is repainted, else "
        "crop. Classifiers see the middle with crop, else all of it.",
    )
    smallest_frame: float = Field(
        1.0,
        ge=0.25,
        le=1,
        description="With framing region: the least side of what the model paints, as a share of models.resolution. Below "
        "1 a small region is painted in a frame of a quarter, a half or three quarters of it, the smallest that holds the "
        "region with its context: time goes with the area, so half the side costs about a quarter. The checkpoint sees less "
        "around the region, and draws worse far below the resolution that it was trained for. 1: always models.resolution.",
    )
    amount: Amount = Field(description="How many images.")
    filters: tuple[FilterSpec, ...] = Field((), description="Each keeps an image, or drops it.")
    filter_order: Literal["listed", "measured"] = Field(
        "listed",
        description="In which order filters are applied. listed: that of the list; give cheap ones first. measured: by the "
        "time that each takes over the share that it drops, of the version's first images. What is kept is the same.",
    )
    early_verdict: EarlyVerdict | None = Field(None, description="Ends what the filters will drop; none: nothing.")
    max_attempts: int = Field(
        3, ge=1, le=100, description="Most attempts at a planned image; if all are dropped, it is left out."
    )
    shard_size: int = Field(100, ge=1, le=100_000, description="Planned images in one shard.")
    encoding: EncodingSpec = Field(PngEncoding(type="png"), description="How the generated images are stored.")
    classifier: Classifier = Field(
        Classifier(), description="The classifier that filters use as a judge, and that the evaluation trains."
    )
    evaluation: Evaluation | None = Field(None, description="How the version is evaluated; none: not at all.")
    seed: int = Field(0, ge=0, description="Seed of every random choice.")

    @property
    def effective_framing(self) -> Framing:
        """The framing, chosen by the method where the spec gives none."""
        return self.framing or ("region" if self.method.repaints_a_part else "crop")

    @model_validator(mode="before")
    @classmethod
    def of_today(cls, document: Any) -> Any:
        return lift(document)

    @field_validator("schema_version", mode="before")
    @classmethod
    def known(cls, version: Any) -> Any:
        if isinstance(version, int) and version > CURRENT:
            raise ValueError(f"newer than {CURRENT}, the last known here; use a newer Counterpoise, or write {CURRENT}")
        return version

    @model_validator(mode="after")
    def one_filter_of_a_type(self) -> "VersionSpec":
        types = [filter_.type for filter_ in self.filters]
        if len(set(types)) != len(types):
            raise ValueError(f"filters: {', '.join(types)} must differ from each other; name each once")
        return self

    @model_validator(mode="after")
    def early_verdict_has_scores(self) -> "VersionSpec":
        early = self.early_verdict
        if early is None:
            return self
        if not any(filter_.type in EARLY_SCORES for filter_ in self.filters):
            raise ValueError(f"early_verdict: no filter has scores of unfinished images; add {', '.join(EARLY_SCORES)}")
        if early.images > self.shard_size:
            raise ValueError(
                f"early_verdict.images: {early.images} are more than a shard has, {self.shard_size}, so that a worker would "
                "never be done with them; give fewer, or a larger shard_size"
            )
        return self

    @model_validator(mode="after")
    def framing_has_a_region(self) -> "VersionSpec":
        if self.framing == "region" and not self.method.repaints_a_part:
            raise ValueError(
                "framing: 'region' is for methods that repaint a part of an image, spurious_removal with region box or "
                "mask, image_variation with repaint object or surroundings; give crop or pad"
            )
        return self

    @model_validator(mode="after")
    def judge_sees_what_is_led(self) -> "VersionSpec":
        if self.method.entropy_guidance and self.effective_framing == "region":
            raise ValueError(
                f"method.entropy_guidance: {self.method.entropy_guidance} would need a judge of frames, and it knows whole "
                "images alone; set framing to crop or pad, or leave it out"
            )
        return self

    @model_validator(mode="after")
    def small_frames_have_a_region(self) -> "VersionSpec":
        if self.smallest_frame < 1 and self.effective_framing != "region":
            raise ValueError(
                f"smallest_frame: {self.smallest_frame} is for framing region, and here it is {self.effective_framing}, by "
                "which all that the model is given has one size; leave it out, or repaint a part with framing region"
            )
        return self

    @model_validator(mode="after")
    def groups_can_be_filled(self) -> "VersionSpec":
        if self.amount.balance == "groups" and not isinstance(self.method, SpuriousRemoval):
            raise ValueError("amount.balance: only spurious_removal can fill groups; balance classes, or use that method")
        return self

    @model_validator(mode="after")
    def arms_can_be_drawn(self) -> "VersionSpec":
        instructed = isinstance(self.method, EditMix) and self.method.editor == "instruct"
        if instructed and any(ARMS[arm].addition == PLAIN for arm in (self.evaluation.arms if self.evaluation else ())):
            raise ValueError(
                f"evaluation.arms: {PLAIN} draws from the classes' names, and a checkpoint for editor: instruct edits "
                "images alone; leave the arm out"
            )
        return self

    @model_validator(mode="after")
    def pairs_are_alike(self) -> "VersionSpec":
        if isinstance(self.method, CounterfactualPairs) and any(isinstance(f, NearDuplicateFilter) for f in self.filters):
            raise ValueError(
                "filters: near_duplicate drops one of two images that are nearly the same, and those of "
                "counterfactual_pairs are to be; leave it out"
            )
        return self

    @model_validator(mode="after")
    def curriculum_has_a_spectrum(self) -> "VersionSpec":
        recipe = self.evaluation.recipe if self.evaluation else None
        if recipe in CURRICULA and not (isinstance(self.method, ImageVariation) and len(self.method.strengths) > 1):
            raise ValueError(
                f"evaluation.recipe: {recipe} walks samples from a high strength to a low one, and this version's have "
                "one; use image_variation with two or more strengths, or recipe: mixed"
            )
        return self

    @model_validator(mode="after")
    def backgrounds_are_exchanged(self) -> "VersionSpec":
        contrasted = self.evaluation is not None and self.evaluation.recipe == "contrastive"
        if contrasted and not isinstance(self.method, SpuriousRemoval):
            raise ValueError(
                "evaluation.recipe: contrastive needs classes on the backgrounds of others, which spurious_removal paints, "
                f"and the method is {self.method.type}; use that method, or another recipe"
            )
        return self

    @model_validator(mode="after")
    def positives_are_siblings(self) -> "VersionSpec":
        alone = not isinstance(self.method, TextToImage) or self.method.siblings == 1
        if self.evaluation is not None and self.evaluation.recipe == "multi_positive" and alone:
            raise ValueError(
                "evaluation.recipe: multi_positive needs several images of a prompt, as text_to_image draws with siblings; "
                "set method.siblings to 2 or more, such as 10, or use another recipe"
            )
        return self

    @model_validator(mode="after")
    def words_have_a_writer(self) -> "VersionSpec":
        if self.method.written_words and self.models.language_model is None:
            raise ValueError(
                "models.language_model: none, and method.written_words are written by one; name a checkpoint, or the "
                "operator's, 'endpoint'"
            )
        return self

    @model_validator(mode="after")
    def images_can_be_shared(self) -> "VersionSpec":
        if self.models.further and (refusal := sharing_refusal(self.models, self.method)):
            raise ValueError(refusal)
        if self.models.further and self.early_verdict is not None:
            raise ValueError(
                "early_verdict: what one checkpoint's unfinished images score says nothing of another's, and models.further "
                "draw, too; leave one of them out"
            )
        return self

    @model_validator(mode="after")
    def object_has_a_word(self) -> "VersionSpec":
        looks = any(isinstance(f, LabelAgreementFilter) and f.view == "object" for f in self.filters)
        if looks and not self.method.superclass:
            raise ValueError("method.superclass must say what the classes are when a filter looks at the object: 'bird'")
        return self

    @model_validator(mode="after")
    def arms_have_objects(self) -> "VersionSpec":
        arms = [arm for arm in (self.evaluation.arms if self.evaluation else ()) if ARMS[arm].masks]
        whole = isinstance(self.method, SpuriousRemoval) and self.method.region == "whole"
        if arms and (whole or not self.method.superclass):
            raise ValueError(
                f"evaluation.arms: {arms[0]} cuts out the object of every image: method.superclass must say "
                "what it is, and method.region must not be whole; or leave the arm out"
            )
        return self
