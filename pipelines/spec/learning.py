"""What is learned from the source before images are made: tokens and low-rank weights."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from pipelines.spec.base import Share, Strict

# What Discriminative Class Tokens are learned with. Its rate is 2.5e-4 for each of the images of a step.
CLASSIFICATION = {"vectors": 1, "steps": 50, "batch": 5, "learning_rate": 1.25e-3, "masked": False, "checkpoint_every": 5}


class Inversion(Strict):
    """Textual inversion (Gal et al. 2022, arXiv 2208.01618): one token a class, its embedding the only thing trained."""

    objective: Literal["denoising", "classification"] = Field(
        "denoising",
        description="What a token is learned by. denoising: the class's images. classification: the classifier, which is to "
        "recognise the class in images that the model draws with the token (Discriminative Class Tokens, ICCV 2023, arXiv "
        "2303.17155); the token itself learns from no image. Defaults are then the paper's: vectors 1, steps 50, batch 5, "
        "learning_rate 0.00125.",
    )
    vectors: int = Field(4, ge=1, le=8, description="Embedding vectors of a token.")
    initializer: str | None = Field(None, description="Word that the vectors start from; none: the superclass.")
    images: int = Field(40, ge=1, le=100_000, description="Images a class: half contradict the shortcut, half are typical.")
    steps: int = Field(300, ge=1, le=1_000_000, description="Optimisation steps.")
    batch: int = Field(16, ge=1, le=4096, description="Images a step.")
    learning_rate: float = Field(3e-3, gt=0, description="Learning rate of AdamW, not scaled by the batch size.")
    masked: bool = Field(
        True,
        description="Learn from the object alone: outside its mask, keep the prediction for the superclass.",
    )
    margin: Share = Field(
        0.8,
        description="How much the object's mask is widened, as a share of its longer side: a token trained without any "
        "surroundings does not learn where the object ends.",
    )
    guidance: float = Field(7.0, ge=1, description="By classification: classifier-free guidance scale of what is drawn.")
    denoising_steps: int = Field(
        30, ge=1, le=1000, description="By classification: denoising steps; gradients go through the last of them alone."
    )
    accuracy: Share = Field(
        0.7, description="By classification: learning ends when more of a step's images are recognised than this share."
    )
    patience: int = Field(15, ge=1, description="By classification: or after so many steps without a lower loss.")
    checkpoint_every: int = Field(100, ge=1, description="Steps after which progress is saved.")

    @model_validator(mode="before")
    @classmethod
    def defaults_of_the_objective(cls, document: Any) -> Any:
        classification = isinstance(document, dict) and document.get("objective") == "classification"
        return {**CLASSIFICATION, **document} if classification else document

    @model_validator(mode="after")
    def drawn_images_have_no_masks(self) -> Self:
        if self.objective == "classification" and self.masked:
            raise ValueError("masked: tokens that are learned by classification have no image to mask; leave it out")
        return self


LOFT = {"rank": 2, "steps": 600, "batch": 1, "learning_rate": 1e-3}


class Lora(Strict):
    """Low-rank weights beside the attention of the denoiser, learned from the source (DataDream, ECCV 2024, arXiv
    2407.10910)."""

    scope: Literal["class", "dataset", "image"] = Field(
        "dataset",
        description="One LoRA for each class, or one for all of them; image: one for each training image, of which some are "
        "fused for each generated one (LoFT, arXiv 2505.11703). Of that, rank is 2, steps 600, batch 1 and learning_rate "
        "0.001, unless they are given.",
    )
    fused: int = Field(
        2,
        ge=1,
        le=16,
        description="Of scope image: how many LoRAs of its class, drawn for each generated image, are averaged.",
    )
    rank: int = Field(16, ge=1, le=256, description="Rank of the weights, and the factor of their effect (alpha).")
    images: int = Field(100, ge=1, le=100_000, description="Training images a class, the first ones.")
    steps: int = Field(300, ge=1, le=1_000_000, description="Optimisation steps.")
    batch: int = Field(8, ge=1, le=4096, description="Images a step.")
    learning_rate: float = Field(
        1e-4, gt=0, description="Peak learning rate of AdamW: warmed up over a tenth of the steps, then a cosine."
    )
    text_encoder: bool = Field(
        False, description="Learn such weights beside the attention of the CLIP text encoders, too, as DataDream does."
    )
    keep_diversity: float = Field(
        0.0,
        ge=0,
        description="Weight of DomainStudio's losses (arXiv 2306.14153): images keep the relative distances of the original "
        "model's, and fine detail counts. 100 in the paper's code; a step takes twice as long. 0: without.",
    )
    checkpoint_every: int = Field(100, ge=1, description="Steps after which progress is saved.")

    @model_validator(mode="before")
    @classmethod
    def of_images(cls, fields: Any) -> Any:
        """LoFT's own settings, where the scope is an image."""
        return {**LOFT, **fields} if isinstance(fields, dict) and fields.get("scope") == "image" else fields

    @model_validator(mode="after")
    def distances_of_several(self) -> Self:
        if self.keep_diversity and self.scope == "image":
            raise ValueError("keep_diversity is of distances between images, and scope image learns from one; set it to 0")
        if self.keep_diversity and self.batch < 3:
            raise ValueError(
                f"keep_diversity compares distances between the images of a step, and batch is {self.batch}; set "
                "it to 3 or more"
            )
        return self
