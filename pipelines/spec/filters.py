"""Which images are kept."""

from math import ceil
from typing import Annotated, Literal

from pydantic import Field, model_validator

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
    """Images that repeat a real one or another generated one, by perceptual hash, then by embedding, of what is new in
    them."""

    type: Literal["near_duplicate"]
    distance: int = Field(3, ge=0, le=64, description="Largest Hamming distance of a duplicate, in bits of 64.")
    similarity: Share | None = Field(
        None, description="Least cosine similarity of a duplicate's CLIP embedding; none: not compared."
    )


class LabelAgreementFilter(Calibrated):
    """The prediction head of DDB: a classifier must no longer predict the class that was painted over."""

    type: Literal["label_agreement"]
    view: Literal["image", "object", "balanced"] = Field(
        "image",
        description="Input of the classifier: the image, as in the paper, or the object alone, so that the background is no "
        "evidence for the class that was painted over; balanced: the image, by one that was trained on every subpopulation "
        "of a class as often, so that what a class comes with is less evidence for it, and nothing is segmented.",
    )
    max_origin: Share | None = Field(
        None, description="Largest probability of the painted-over class; none: its mean over that class's typical images."
    )
    min_target: Share | None = Field(None, description="Least probability of the painted class; none: not tested.")


Saliency = Literal["integrated_gradients", "grad_cam", "smoothgrad"]


class AttributionFilter(Strict):
    """The attribution head of DDB: how far the change inside the region speaks for the painted class."""

    type: Literal["attribution"]
    saliency: Saliency = Field(
        "integrated_gradients",
        description="How it is measured. integrated_gradients: from the original to the generated image, as in the paper. "
        "grad_cam: by the last feature map of both, whose cells are coarse (arXiv 1610.02391). smoothgrad: by the mean "
        "gradient at noisy copies of the generated image (arXiv 1706.03825).",
    )
    min_logits: float = Field(0.3, description="Least attribution of the painted class, in logits.")
    steps: int = Field(
        8, ge=2, description="Steps that approximate the integral, or noisy copies of smoothgrad, whose paper takes 50."
    )


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


class RigidFilter(Calibrated):
    """RIGID (He et al., arXiv 2405.20112): a little noise moves the embeddings of real images less than others'."""

    type: Literal["rigid"]
    noise: float = Field(0.05, gt=0, le=1, description="Standard deviation of the noise, as a share of the pixels' range.")
    min_similarity: Share | None = Field(
        None, description="Least cosine similarity of CLIP's embeddings with and without noise; none: a score alone."
    )


class ProbeFilter(Strict):
    """Images that are told from real ones most surely, by a probe as in the quality report, within their class."""

    type: Literal["probe"]
    drop: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="Share of each class's candidates to drop, the most detectable: at the first attempt in the shard, "
        "which the probe learns from; its threshold holds for later attempts, too.",
    )
    images: int = Field(500, ge=10, le=100_000, description="Real training images a class that it learns from, at most.")


class DiffusionClassifierFilter(Calibrated):
    """The text-to-image model itself must take an image for its label rather than another class: by which class's prompt
    it denoises best (Li et al., ICCV 2023, arXiv 2303.16203)."""

    type: Literal["diffusion_classifier"]
    samples: tuple[int, ...] = Field(
        (8, 32),
        min_length=1,
        description="Timesteps, evenly spaced, at which errors are measured, up to the end of each stage. The paper's: [25, "
        "250] for tens of classes.",
    )
    keep: int = Field(
        2, ge=2, description="Classes that go on to the next stage, those with the least errors. The paper's: 5."
    )
    min_margin: float = Field(
        0.0, description="Least margin: how much larger the least error of another class is, as a share of the label's own."
    )

    @model_validator(mode="after")
    def samples_ascend(self) -> "DiffusionClassifierFilter":
        if list(self.samples) != sorted({*self.samples}) or self.samples[0] < 1:
            raise ValueError(f"samples: {list(self.samples)} must ascend from 1 or more: each stage adds to those before")
        return self


class ObjectSizeFilter(Strict):
    """Painted objects that a detector would learn nothing good from: too small, or cut by the border of the image. Images
    that were generated as a whole, whose object is not known, are kept."""

    type: Literal["object_size"]
    min_share: Share = Field(
        0.0033,
        description="Least share of the image that the object's region covers; small in COCO: 32 x 32 of 640 x 480 pixels.",
    )
    whole: bool = Field(True, description="Whether regions that touch the border of the image are dropped.")


class EntropyFilter(Calibrated):
    """Images whose class the judge is least sure of, by the entropy of its prediction (Deliberate Practice, arXiv
    2502.15588)."""

    type: Literal["entropy"]
    top: Strength | None = Field(
        None,
        description="Top share of each class's candidates to keep, as of clip_score; none: 0.5, or all where min_entropy or "
        "calibrate is given.",
    )
    min_entropy: float | None = Field(
        None,
        ge=0,
        description="Least entropy in nats, log(classes) at most; none: not tested. An early verdict looks at it.",
    )

    @property
    def effective_top(self) -> float:
        if self.top is not None:
            return self.top
        return 0.5 if self.min_entropy is None and self.calibrate is None else 1.0


EARLY_SCORES: dict[str, dict[str, Literal[1, -1]]] = {
    "quality": {"contrast": 1, "sharpness": 1, "saturated": -1, "seam": -1},
    "label_agreement": {"target": 1, "origin": -1},
    "attribution": {"target": 1},
    "clip_score": {"own": 1},
    "entropy": {"nats": 1},
}
"""Of filters by type: scores that an unfinished image has, too; 1 where a higher one speaks for the image, -1 against."""


class EarlyVerdict(Strict):
    """Images that the filters will drop are not denoised to their end, as in CFG-Rejection and Probe-Select (arXiv
    2505.23343, 2603.02829); but by the filters' own scores of the image that is predicted on the way."""

    at: float = Field(
        0.5, gt=0, lt=1, description="When the prediction is looked at, as a share of the full run, from noise to image."
    )
    loss: float = Field(
        0.05, gt=0, lt=1, description="Share of the images that the filters would keep, that may be ended, too."
    )
    images: int = Field(100, ge=1, description="Images that are denoised to their end, to calibrate the thresholds.")

    @model_validator(mode="after")
    def can_be_calibrated(self) -> "EarlyVerdict":
        least = ceil(1 / self.loss - 1 - 1e-9)
        if self.images < least:
            raise ValueError(f"images: {self.images} cannot show a loss of {self.loss:g}; give {least} or more")
        return self


FILTER_SPECS = (
    QualityFilter,
    NearDuplicateFilter,
    LabelAgreementFilter,
    AttributionFilter,
    ClipScoreFilter,
    RigidFilter,
    ProbeFilter,
    DiffusionClassifierFilter,
    ObjectSizeFilter,
    EntropyFilter,
)
FilterSpec = Annotated[
    QualityFilter
    | NearDuplicateFilter
    | LabelAgreementFilter
    | AttributionFilter
    | ClipScoreFilter
    | RigidFilter
    | ProbeFilter
    | DiffusionClassifierFilter
    | ObjectSizeFilter
    | EntropyFilter,
    Field(discriminator="type"),
]
