"""Which images are kept."""

from typing import Annotated, Literal

from pydantic import Field

from pipelines.spec.base import Share, Strength, Strict


class Calibrated(Strict):
    """A filter whose thresholds can be taken from real images."""

    calibrate: Strength | None = Field(
        None,
        description="Share of the real validation images that must pass: thresholds are set so, whatever is given for them; "
        "none: as they are given.",
    )


class QualityFilter(Calibrated):
    """Blank, blurred or saturated images, and repainted regions that do not fit their surroundings."""

    type: Literal["quality"]
    min_contrast: float = Field(0.03, ge=0, description="Least standard deviation of grey levels, 0..1.")
    min_sharpness: float = Field(0.0005, ge=0, description="Least variance of the Laplacian of grey levels.")
    max_seam: float = Field(
        0.06, ge=0, description="Largest change of mean colour, 0..1, along the inner edge of the repainted region."
    )
    max_saturated: Share = Field(0.6, description="Largest share of pixels that are pure black or white.")


class NearDuplicateFilter(Calibrated):
    """Images that repeat a real one or another of their shard, by perceptual hash, then by embedding, of what is new in
    them. Images of other shards are not compared."""

    type: Literal["near_duplicate"]
    distance: int = Field(3, ge=0, le=64, description="Bits of 64 up to which two images are the same.")
    similarity: Share | None = Field(
        None, description="Cosine of CLIP's embeddings from which on two images are the same; none: not compared."
    )


class LabelAgreementFilter(Calibrated):
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


class ClipScoreFilter(Calibrated):
    """CLIP must see the label rather than the other classes (arXiv 2210.07574, 2406.05184)."""

    type: Literal["clip_score"]
    classes: Literal["names", "images"] = Field(
        "names", description="What a class is compared by: its name, or its real images, for names that CLIP cannot know."
    )
    min_share: Share | None = Field(None, description="Least share of the label among the classes; none: an even one.")
    top: Strength = Field(
        1.0,
        description="Share of each class's candidates that is good enough: to be kept, one must score as well as this share "
        "of those of the first attempt in its shard, at later attempts, too. 1: all are.",
    )


FILTER_SPECS = (QualityFilter, NearDuplicateFilter, LabelAgreementFilter, AttributionFilter, ClipScoreFilter)
FilterSpec = Annotated[
    QualityFilter | NearDuplicateFilter | LabelAgreementFilter | AttributionFilter | ClipScoreFilter,
    Field(discriminator="type"),
]
