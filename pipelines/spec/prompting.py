"""What prompts say: templates, and the words that are filled into them."""

from collections.abc import Collection
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from pipelines.prompts import TEMPLATES, placeholders
from pipelines.spec.base import Strict, distinct
from pipelines.spec.written_words import WrittenWords


def check_word(name: str, template: str, listed: Collection[str], of_images: object) -> None:
    """Raises ValueError unless there is a word for a name in a template, where images have their own for each of them."""
    if not isinstance(of_images, dict):
        if name not in listed:
            raise ValueError(f"words: {template!r} says {{{name}}}, so words.{name} must list what stands for it")
    elif lacking := [item for item, own in of_images.items() if name not in own]:
        raise ValueError(f"image_words: {template!r} says {{{name}}}, and {lacking[0]!r} has no word for it; add one")


class Prompting(Strict):
    """The prompts of a method."""

    templates: Annotated[tuple[str, ...], AfterValidator(distinct)] = Field(
        TEMPLATES[:1],
        min_length=1,
        description="Prompts, one drawn for each image: {} stands for the class, {scene} for one of words.scene.",
    )
    words: dict[str, tuple[str, ...]] = Field(
        {},
        description="What stands for the names in the templates, one drawn for each image: {scene: [on grass, at night]}.",
    )
    written_words: WrittenWords | None = Field(
        None, description="Lists that models.language_model writes, beside those in `words`; none: it writes nothing."
    )
    image_words: Literal["by_clip"] | dict[str, dict[str, str]] | None = Field(
        None,
        description="Words of the real images themselves (BOB, arXiv 2510.24078): tokens and LoRAs are learned with each "
        "one's in its prompt, and images are drawn with those of any real image, whatever its class. by_clip: chosen among "
        "`words` by models.clip; or given by the image's id, {boot/1.jpg: {scene: on grass}}. None: `words`, one by one.",
    )
    names: dict[str, str] = Field(
        {},
        description="What classes are called in prompts and by CLIP, where the source's name is no word: {n02124075: "
        "Egyptian cat}; others go by their own, and a class with a learned token by that.",
    )
    negative_prompt: str = Field(
        "", description="What images are guided away from, instead of from the empty prompt; of no effect without guidance."
    )

    @property
    def listed(self) -> set[str]:
        """The names that there is a list of words for, or will be."""
        written = self.written_words.names if self.written_words else {}
        return {name for name, words in self.words.items() if words} | written.keys()

    @model_validator(mode="after")
    def words_are_listed_once(self) -> Self:
        if self.written_words and (twice := self.written_words.names.keys() & self.words.keys()):
            raise ValueError(f"written_words: {min(twice)!r} is in words, too; leave it out of one of them")
        return self

    @model_validator(mode="after")
    def templates_can_be_filled(self) -> Self:
        for template in self.templates:
            names = placeholders(template)
            if names.count("") != 1:
                raise ValueError(f"templates: {template!r} must say {{}} once, where the class goes")
            for name in filter(None, names):
                check_word(name, template, self.listed, self.image_words)
        if self.image_words is not None and not any(filter(None, (n for t in self.templates for n in placeholders(t)))):
            raise ValueError("image_words: no template has a place for them; say 'a photo of a {} {scene}' in templates")
        return self
