"""Which images are kept."""

from typing import Annotated, Literal

from pydantic import Field

from pipelines.spec.base import Share, Strength, Strict


class Calibrated(Strict):
    """A filter whose thresholds can be calibrated on the real validation images."""

    calibrate: Strength | None = Field(
        None,
        description="Share of the real validation images that must pass; sets all thresholds, in place of those given. "
        "None: as given.",
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
    distance: int = Field(3, ge=0, le=64, description="Largest Hamming distance of a duplicate, in bits of 64.")
    similarity: Share | None = Field(
        None, description="Least cosine similarity of a duplicate's CLIP embedding; none: not compared."
    )


class LabelAgreementFilter(Calibrated):
    """The prediction head of DDB: a classifier must no longer predict the class that was painted over."""

    type: Literal["label_agreement"]
    view: Literal["image", "object"] = Field(
        "image",
        description="Input of the classifier: the image, as in the paper, or the object alone, so that the background is no "
        "evidence for the class that was painted over.",
    )
    max_origin: Share | None = Field(
        None, description="Largest probability of the painted-over class; none: its mean over that class's typical images."
    )
    min_target: Share | None = Field(None, description="Least probability of the painted class; none: not tested.")


class AttributionFilter(Strict):
    """The attribution head of DDB: integrated gradients from the original to the generated image, inside the region."""

    type: Literal["attribution"]
    min_logits: float = Field(0.3, description="Least attribution of the painted class, in logits.")
    steps: int = Field(16, ge=2, description="Steps that approximate the integral.")


class ClipScoreFilter(Calibrated):
    """Zero-shot CLIP must predict the label rather than another class (arXiv 2210.07574, 2406.05184)."""

    type: Literal["clip_score"]
    classes: Literal["names", "images"] = Field(
        "names", description="Embedding of a class: of its name, or the mean of its real images, for names unknown to CLIP."
    )
    min_share: Share | None = Field(None, description="Least zero-shot probability of the label; none: 1 / classes.")
    top: Strength = Field(
        1.0,
        description="Top share of each class's candidates to keep: the threshold is the lowest score of this share at the "
        "first attempt in the shard, and holds for later attempts, too. 1: no such threshold.",
    )


FILTER_SPECS = (QualityFilter, NearDuplicateFilter, LabelAgreementFilter, AttributionFilter, ClipScoreFilter)
FilterSpec = Annotated[
    QualityFilter | NearDuplicateFilter | LabelAgreementFilter | AttributionFilter | ClipScoreFilter,
    Field(discriminator="type"),
]
