"""How pairs of images that differ in one word are drawn."""

from typing import Literal, Self

from pydantic import Field, model_validator

from pipelines.prompts import placeholders
from pipelines.spec.base import Strength
from pipelines.spec.methods import FromNoise


class CounterfactualPairs(FromNoise):
    """Pairs of images of a class from one noise, whose prompts differ in one word (after TIDA, arXiv 2309.15991)."""

    type: Literal["counterfactual_pairs"]
    swap: str = Field(
        description="Name of the one of words that is another in the second image of a pair: colour. Every template has it. "
        "The samples of a pair have a group_id in common."
    )
    strength: Strength = Field(
        1.0,
        description="Below 1, a pair starts from a real image of its class, noised to this share of the schedule, so that a "
        "word is swapped on it; 1: from noise alone.",
    )
    guidance: float = Field(7.5, ge=1, description="Classifier-free guidance scale.")
    steps: int = Field(25, ge=1, le=1000, description="Denoising steps.")

    @property
    def starts_from_images(self) -> bool:
        """Whether a pair starts from a real image."""
        return self.strength < 1

    @property
    def choices(self) -> list[str]:
        """The words that can take each other's place."""
        return [*dict.fromkeys(self.words.get(self.swap, ()))]

    @model_validator(mode="after")
    def a_word_can_be_swapped(self) -> Self:
        if len(self.choices) < 2:
            raise ValueError(
                f"swap: words.{self.swap} must list two words or more, one to take another's place, and it has "
                f"{len(self.choices)}; add some, or name others of words"
            )
        if self.image_words is not None:
            raise ValueError(
                "image_words: all words of one image go into a prompt, and swap changes one of them; leave it out"
            )
        for template in self.templates:
            if self.swap not in placeholders(template):
                raise ValueError(f"templates: {template!r} must say {{{self.swap}}}, the word that swap changes in a pair")
        return self
