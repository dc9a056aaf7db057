"""How images are made."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from pipelines.spec.base import Share, Strength, Strict
from pipelines.spec.learning import Inversion, Lora
from pipelines.spec.prompting import Prompting


def ascending(interval: tuple[float, float]) -> tuple[float, float]:
    if interval[0] >= interval[1]:
        raise ValueError(f"{list(interval)} holds no step; give the smaller share first, [0, 1] for all steps")
    return interval


Side = Annotated[int, Field(ge=32, le=4096, multiple_of=8)]  # pixels


class Asked(Prompting):
    """What every method can learn from the source before it generates, beside its prompts."""

    superclass: str | dict[str, str] | None = Field(
        None,
        description="Superclass of all classes, one word, prompted after a learned token: bird. Or of some classes, "
        "{siskin: bird, wigeon: duck}: tokens are learned for these, the others are prompted by name; of all classes, where "
        "objects are looked for.",
    )
    inversion: Inversion | None = Field(None, description="How tokens are learned; none: class names alone.")
    lora: Lora | None = Field(None, description="How low-rank weights are learned; none: the checkpoint as it is.")
    guidance_rescale: Share = Field(
        0.0,
        description="How far guided predictions are scaled back to the contrast of unguided ones (arXiv 2305.08891): 0.7 "
        "for checkpoints of zero terminal SNR, whose images guidance overexposes; 0: not at all.",
    )
    guidance_interval: Annotated[tuple[Share, Share], AfterValidator(ascending)] = Field(
        (0.0, 1.0),
        description="Where guidance is on (arXiv 2404.07724), as shares of the full run of steps, 0 the noise and 1 the "
        "image: a step is guided if it begins there. Steps without guidance cost half; [0.2, 0.8] keeps more variety.",
    )
    entropy_guidance: float = Field(
        0.0,
        ge=0,
        description="How strongly images are led to where the judge, a plain classifier, is unsure of them (Deliberate "
        "Practice, arXiv 2502.15588): the paper's best is 0.05, of Stable Diffusion 1.5. Each guided step costs a pass "
        "through autoencoder and judge, and back. 0: not at all.",
    )
    solver: Literal["auto", "ddim", "dpmsolver++"] = Field(
        "auto",
        description="How a step follows from a prediction: DDIM (arXiv 2010.02502), or DPM-Solver++(2M) (arXiv 2211.01095), "
        "which needs fewer steps; auto: the latter where the checkpoint's scheduler is it, and Euler's method of a flow.",
    )
    cache_interval: int = Field(
        1,
        ge=1,
        le=5,
        description="The denoiser's deep features are computed in the first steps and then in one of so many, and "
        "extrapolated in the others (arXiv 2312.00858, 2503.06923), which cost a tenth: 2 or 3, from 16 steps on. 1: in "
        "every step.",
    )

    @property
    def repaints_a_part(self) -> bool:
        """Whether the method keeps what lies outside a region of its source images."""
        return False

    @model_validator(mode="after")
    def superclass_of_tokens(self) -> Self:
        if self.inversion and not self.superclass:
            raise ValueError("superclass must say what the classes are when inversion is asked for: 'bird'")
        return self


class FromNoise(Asked):
    """What the methods have whose images start from noise alone."""

    width: Side | None = Field(None, description="Width of the images, in pixels; none: models.resolution.")
    height: Side | None = Field(None, description="Height of the images, in pixels; none: models.resolution.")


class SpuriousRemoval(Asked):
    """Repaint each class's typical images as the other classes (DDB, ICCV 2025, arXiv 2503.17226)."""

    type: Literal["spurious_removal"]
    superclass: str | dict[str, str] = Field(
        description="Superclass of all classes, one word: prompts the segmenter, and stands after every token. Where no "
        "word is all classes', one for each: {bag: bag, shirt: shirt}."
    )
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
        description="Share of the noise schedule that is run. A little less than 1 leaves a trace of the scene and of the "
        "object's colour, too faint for its shape: the repainted region fits its surroundings far more often.",
    )
    guidance: float = Field(5.0, ge=1, description="Classifier-free guidance scale.")
    steps: int = Field(25, ge=1, le=1000, description="Denoising steps.")

    @property
    def repaints_a_part(self) -> bool:
        return self.region != "whole"

    @model_validator(mode="after")
    def objects_have_edges(self) -> Self:
        if self.objects != "painted" and self.region == "whole":
            raise ValueError("objects: real ones are cut out, so region must be box or mask; or let objects be painted")
        return self


class NegativeMerging(Strict):
    """Negative token merging (NegToMe, arXiv 2412.01339): siblings are made unlike the first of them, without training."""

    alpha: float = Field(0.9, gt=0, le=10, description="How far a token is pushed away from the reference's most similar.")
    threshold: Share = Field(0.7, description="Cosine above which it is pushed.")
    until: Strength = Field(0.2, description="In the first steps alone, up to this share of the full run.")


class TextToImage(FromNoise):
    """Plain generation from a prompt: the baseline that every other method has to beat."""

    type: Literal["text_to_image"]
    siblings: int = Field(
        1,
        ge=1,
        le=1000,
        description="So many images of a class share a prompt and differ in noise; their samples have a group_id in common "
        "(StableRep, arXiv 2306.00984: 10). 1: a prompt is drawn for each image.",
    )
    negative_merging: NegativeMerging | None = Field(
        None, description="Pushes siblings away from the first of their group, for variety; none: nothing."
    )
    guidance: float = Field(2.0, ge=1, description="Classifier-free guidance scale.")
    steps: int = Field(25, ge=1, le=1000, description="Denoising steps.")

    @model_validator(mode="after")
    def siblings_are_pushed(self) -> Self:
        if self.negative_merging is not None and self.siblings == 1:
            raise ValueError("siblings: 1 leaves negative_merging nothing to push away from; set it to 2 or more, such as 4")
        if self.negative_merging is not None and self.cache_interval > 1:
            raise ValueError(
                f"cache_interval: {self.cache_interval} keeps the features of images, not of their references in "
                "negative_merging; set it to 1"
            )
        if self.negative_merging is not None and self.entropy_guidance:
            raise ValueError(
                f"entropy_guidance: {self.entropy_guidance} leads images, not their references in negative_merging, so that "
                "one would depend on its batch; set it to 0"
            )
        return self


class AugmentedConditioning(FromNoise):
    """Images conditioned on augmented real ones, from pure noise (Augmented Conditioning Is Enough, arXiv 2502.04475)."""

    type: Literal["augmented_conditioning"]
    mix: Literal["none", "cutmix", "mixup", "embed_cutmix", "embed_mixup"] = Field(
        "embed_cutmix",
        description="How two real images of a class become one image prompt: cut and pasted or blended as pixels, or as "
        "embeddings; none: one image alone.",
    )
    alpha: float = Field(1.0, gt=0, description="Parameter of the Beta distribution of the first image's share in a mix.")
    dropout: Share = Field(0.4, description="Probability that an element of the embedding is set to zero.")
    shots: int | None = Field(
        None, ge=1, description="Real images a class to condition on, the first ones; none: all. No other is ever read."
    )
    scale: Share | Literal["by_clip"] = Field(
        1.0,
        description="Weight of an IP-Adapter's image prompt against the text; by_clip: drawn for each image (DALDA, arXiv "
        "2409.16949), larger where models.clip does not recognise the real one as its class, whose name says little then.",
    )
    negative: Literal["none", "nearest_class"] = Field(
        "none",
        description="What guidance leads away from: nothing, or the mean image of the class that is nearest to the image's "
        "own, by their embeddings (DIPSY, arXiv 2509.22635).",
    )
    noise_level: int = Field(0, ge=0, le=999, description="Noise level of the image embedding, for unCLIP checkpoints.")
    guidance: float = Field(10.0, ge=1, description="Classifier-free guidance scale: 10 for few shots, 2 for long tails.")
    steps: int = Field(30, ge=1, le=1000, description="Denoising steps.")
