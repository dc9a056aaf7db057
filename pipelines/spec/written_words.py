"""Words that a language model writes."""

from typing import Literal

from pydantic import Field

from pipelines.spec.base import Strict

ENDPOINT = "endpoint"  # what a spec calls the language model that the operator has an endpoint of


class WrittenWords(Strict):
    """Lists of words for the names in the templates, written by models.language_model before images are made."""

    names: dict[str, str] = Field(
        min_length=1,
        description="Which, and what they are, as the model is told: {scene: places where it may be photographed}.",
    )
    count: int = Field(20, ge=2, le=200, description="Words of a list.")
    scope: Literal["class", "dataset"] = Field(
        "dataset", description="Lists of each class's own, or the same for all: then words tell nothing about the class."
    )
    attempts: int = Field(
        3, ge=1, le=10, description="Most answers to a question; after one that will not do, the model is told why."
    )
