"""How the subpopulations of a source are drawn."""

from typing import Literal, Self

from pydantic import Field, model_validator

from pipelines.spec.learning import Inversion
from pipelines.spec.methods import FromNoise


class JointInversion(Inversion):
    """Textual inversion of several tokens together: one for each class, and one for each of its clusters."""

    objective: Literal["denoising"] = Field("denoising", description="Always denoising: clusters are learned from images.")
    initializer: str = Field("photo", description="Word that the tokens start from; a class's, from its superclass if any.")
    images: int = Field(100, ge=1, le=100_000, description="Images a cluster; those of a smaller one are repeated.")
    steps: int = Field(300, ge=1, le=1_000_000, description="Optimisation steps of all tokens together.")
    masked: bool = Field(False, description="Always false: tokens are learned from whole images, and nothing is segmented.")

    @model_validator(mode="after")
    def nothing_is_segmented(self) -> Self:
        if self.masked:
            raise ValueError(
                "masked: true would leave out what a class comes with, which the tokens are to learn; leave it out"
            )
        return self


class Subpopulation(FromNoise):
    """Draw what each class seldom comes with, without words or labels for it (after SAGE, 2026)."""

    type: Literal["subpopulation"]
    inversion: JointInversion | None = Field(JointInversion(), description="How tokens are learned.")
    features: Literal["classifier", "clip"] = Field(
        "classifier",
        description="What images are clustered by. classifier: the class that a plain classifier which was not trained on "
        "them takes them for, which varies with what it leans on. clip: their embeddings by models.clip, as in the paper.",
    )
    clusters: int = Field(
        4,
        ge=2,
        le=64,
        description="Clusters of a class by features: clip, by k-means; the paper finds their number itself.",
    )
    density: float = Field(
        0.0,
        ge=0,
        le=1,
        description="A cluster's share of its class's images is as 1 over its size to this power. 0: as many of each, so "
        "that what tells generated images from real ones is no clue to the class. 1, as in the paper: real and generated "
        "images are balanced together.",
    )
    guidance: float = Field(3.0, ge=1, description="Classifier-free guidance scale.")
    steps: int = Field(25, ge=1, le=1000, description="Denoising steps.")

    @model_validator(mode="after")
    def superclass_of_tokens(self) -> Self:
        """It needs none: without one, a class's own name stands after its token."""
        if self.inversion is None:
            raise ValueError("inversion: clusters are drawn by the tokens that are learned from them; leave it out")
        return self
