"""The evaluation of a version: classifiers trained with and without it."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from pipelines.spec.arms import ARMS, BASELINE, VERSION, known
from pipelines.spec.base import Positive, Share, Strict, distinct


class Classifier(Strict):
    """A transformers ResNet, from a checkpoint or small and from scratch."""

    checkpoint: str | None = Field(None, description="Path or id of an image classifier to fine-tune; none: a small ResNet.")
    steps: int = Field(400, ge=1, description="Optimisation steps.")
    batch: int = Field(64, ge=2, description="Images a step.")
    learning_rate: float = Field(2e-3, gt=0, description="Peak learning rate of AdamW, on a one-cycle schedule.")
    resolution: int | None = Field(
        None,
        ge=16,
        le=1024,
        description="Pixels a side that it sees; none: what its checkpoint says, else those of the images, at most 224.",
    )


ArmName = Annotated[str, AfterValidator(known), Field(json_schema_extra={"enum": list(ARMS)})]
Recipe = Literal[
    "mixed",
    "fake_to_real",
    "balanced_softmax",
    "last_layer",
    "adaptive_inflation",
    "retrained",
    "subpopulations",
    "contrastive",
    "personalized",
    "curriculum",
    "adaptive_curriculum",
    "multi_positive",
]
CURRICULA: tuple[Recipe, ...] = ("curriculum", "adaptive_curriculum")  # those that walk the samples' strengths
Checkpoint = Literal["best", "average", "subpopulations", "generated", "last"]
Portion = Annotated[float, Field(gt=0, le=1)]


class Evaluation(Strict):
    """Train a classifier with and without the version; compare on the real test split."""

    arms: Annotated[tuple[ArmName, ...], AfterValidator(distinct)] = Field(
        ("erm", "counterpoise"),
        min_length=1,
        description="Arms to compare. " + " ".join(f"{name}: {arm.description}." for name, arm in ARMS.items()),
    )
    seeds: Annotated[tuple[int, ...], AfterValidator(distinct)] = Field(
        (0, 1, 2), min_length=1, description="Seeds of the trainings."
    )
    amounts: Annotated[tuple[Portion, ...], AfterValidator(distinct)] = Field(
        (),
        description="Shares of the version's samples, above 0 up to 1, that the arm counterpoise is trained on as well, "
        "such as [0.125, 0.25, 0.5], so that the report says how many are enough. Each holds those before it, and costs as "
        "much as another arm: one training with every seed. Empty: none and all alone are compared.",
    )
    recipe: Recipe = Field(
        "mixed",
        description="How generated images are trained on. mixed: half of each batch. fake_to_real: the first half of the "
        "steps on them, the second on real ones (arXiv 2308.04553). balanced_softmax: mixed, with the classes' frequencies "
        "taken out of the loss (arXiv 2007.10740). last_layer: real ones first, then the last layer anew on generated ones "
        "(after arXiv 2204.02937). adaptive_inflation: each real image drawn ten times as often as a generated one, and the "
        "weaker augmented, the more are generated (arXiv 2403.12448); meant for gamma 1. retrained: mixed, then the last "
        "layer fitted to the images that checkpoint: generated sets apart, each kind of them as often (SAGE, 2026); needs "
        "that. subpopulations: mixed, with real images drawn as often of each subpopulation: class by the class that a "
        "classifier which was not trained on them takes them for; reads no groups. Meant for gamma 1. "
        "contrastive: mixed, and features of a class are drawn together across the backgrounds that it was painted "
        "into, and away from other classes there (CDvG, arXiv 2112.01021); with spurious_removal alone. "
        "personalized: features are learned from generated images with the real ones as anchors, and a class is what its "
        "real images are on average (arXiv 2412.16156). For a few real images, and with a pretrained checkpoint. "
        "curriculum: mixed, with generated images of one strength at a time, from the highest to the lowest, and of "
        "real images alone in the last thirteenth of the steps (DisCL, arXiv 2410.13674); for image_variation. "
        "adaptive_curriculum: the same in fifteen stages over three quarters of the steps, at the strength that last raised "
        "the confidence in the true class most, on the validation split; reads no groups. "
        "multi_positive: features are learned from generated images alone, siblings of one prompt drawn together, then the "
        "last layer is fitted to real ones (StableRep, arXiv 2306.00984); with text_to_image and siblings alone.",
    )
    checkpoint: Checkpoint = Field(
        "best",
        description="Which checkpoint of a training is tested, of ten over its steps. best: the one with the highest worst-"
        "group accuracy on the validation split. average: with the highest average accuracy there, which reads no groups. "
        "subpopulations: with the highest accuracy there of the worst subpopulation, class by the class that a plain "
        "classifier takes its images for, which reads none either (after GEORGE, arXiv 2011.12945). "
        "generated: with the highest accuracy on a balanced part of the generated images, a fifth, which is set apart from "
        "training (arXiv 2105.00717); arms of real images alone choose by average, or the last where there is no validation "
        "split. last: the last one; for few training images, lest selection on a large validation split does more than "
        "they.",
    )
    gamma: Positive | dict[str, Positive] = Field(
        4.0, description="Weight of a generated image's loss against a real one's, for all classes or for each by name."
    )
    reencode: Share = Field(
        0.5,
        description="Share of real images whose object is passed through the generator's autoencoder when trained beside "
        "generated ones, so that real and generated cannot be told apart by it.",
    )
    margin: Share | None = Field(
        0.05,
        description="How far the accuracy of the worst group may fall below that of the dataset's latest version: a refresh "
        "that falls further is held until it is promoted. So is every version, the first one, too, whose worst group or "
        "average falls below that of erm by more than their spread. None: never held.",
    )

    @model_validator(mode="after")
    def retrained_on_what_is_set_apart(self) -> "Evaluation":
        if self.recipe == "retrained" and self.checkpoint != "generated":
            raise ValueError(
                f"recipe: retrained fits the last layer to images that checkpoint: generated sets apart, and here it is "
                f"{self.checkpoint}; give generated, or another recipe"
            )
        return self

    @model_validator(mode="after")
    def amounts_have_their_ends(self) -> "Evaluation":
        lacking = [arm for arm in (BASELINE, VERSION) if arm not in self.arms]
        if self.amounts and lacking:
            raise ValueError(
                f"amounts: {', '.join(map(str, self.amounts))} of the samples are compared with none and all of them, the "
                f"arms {BASELINE} and {VERSION}; add {' and '.join(lacking)} to arms, or leave the amounts out"
            )
        return self
