"""Variations of real images: what of them is repainted, and how far."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from pipelines.spec.base import Share, Strength, distinct
from pipelines.spec.colours import rgb
from pipelines.spec.methods import Asked


class ImageVariation(Asked):
    """Variations of the source's own images (DA-Fusion, ICLR 2024, arXiv 2302.07944; Real Guidance, arXiv 2210.07574).

    DA-Fusion learns tokens by inversion; Real Guidance prompts with the class name.
    """

    type: Literal["image_variation"]
    strengths: Annotated[tuple[Strength, ...], AfterValidator(distinct)] = Field(
        (0.25, 0.5, 0.75, 1.0),
        min_length=1,
        description="Shares of the noise schedule that are run, one for each image: near 0 keeps it, 1 is all noise.",
    )
    spectrum: Literal["random", "even"] = Field(
        "random",
        description="How strengths fall to images. random: drawn by the image's seed. even: by turns, so that every source "
        "image is varied at each strength as often (DisCL, arXiv 2410.13674), and tried again at its own.",
    )
    repaint: Literal["whole", "object", "surroundings"] = Field(
        "whole", description="What is repainted: the whole image, the object alone, or all but the object."
    )
    grow: float = Field(0.1, ge=0, le=1, description="How much the object is widened, as a share of its longer side.")
    recolour: str | None = Field(
        None,
        description="With repaint surroundings: the name in `words` whose word, drawn for each image, says what colour its "
        "object is given, light and shade kept. A word is a CSS colour: red, dark green. None: objects keep their own.",
    )
    move: bool = Field(
        False,
        description="With repaint surroundings and strengths [1]: the object is put anywhere between the places that the "
        "source's objects have in their images, of all classes.",
    )
    whole: Share = Field(
        0.0,
        description="With repaint object or surroundings: the share of the images that are repainted whole all the same: "
        "0.5 for as many objects that no image has, by the class's word or token, as are kept.",
    )
    guidance: float = Field(7.5, ge=1, description="Classifier-free guidance scale.")
    steps: int = Field(25, ge=1, le=1000, description="Denoising steps of the full schedule.")

    @property
    def repaints_a_part(self) -> bool:
        return self.repaint != "whole"

    @property
    def alters_object(self) -> bool:
        """Whether the object that is kept is another than in its image, in colour or in place."""
        return self.recolour is not None or self.move

    @model_validator(mode="after")
    def superclass_of_parts(self) -> Self:
        if self.repaint != "whole" and not self.superclass:
            raise ValueError("superclass must say what the classes are when a part is repainted: 'bird'")
        return self

    @model_validator(mode="after")
    def what_is_kept_can_be_altered(self) -> Self:
        if self.alters_object and self.repaint != "surroundings":
            field = "move" if self.recolour is None else "recolour"
            raise ValueError(f"{field}: repaint: {self.repaint} keeps no object to alter; set repaint to surroundings")
        if self.move and self.strengths != (1.0,):
            raise ValueError(
                f"move: strengths {list(self.strengths)} leave a trace of where the object was; set them to [1]"
            )
        if self.whole and self.repaint == "whole":
            raise ValueError(f"whole: {self.whole} is a share beside images of which a part is repainted; set repaint")
        return self

    @model_validator(mode="after")
    def words_are_colours(self) -> Self:
        if self.recolour is None:
            return self
        if self.image_words is not None:
            raise ValueError(
                "image_words: all words of one image go into a prompt, and recolour draws one of `words`; leave it out"
            )
        if not self.words.get(self.recolour):
            raise ValueError(f"recolour: words.{self.recolour} must list the colours; add it, or name another of words")
        for word in self.words[self.recolour]:
            rgb(word)
        return self
