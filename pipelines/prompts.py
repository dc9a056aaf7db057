"""Prompt templates, and how a class's word or learned token enters them: the same in training and in generation."""

import re
from collections.abc import Iterable, Mapping, Sequence
from string import Formatter

from pipelines.chance import derive

TEMPLATES = (
    "a photo of a {}",
    "a picture of a {}",
    "a close photo of a {}",
    "a cropped photo of a {}",
    "a good photo of a {}",
    "a photo of one {}",
    "a photo of the {}",
    "a photo of my {}",
)
ARTICLE = re.compile(r"\b([Aa]) (?=\{\})")  # before the class alone: the bundled model was trained on "a orange boot"

TOKEN = re.compile(r"(<[^<>]+>)( \1_\d+)*")  # as `token_phrase` writes one


def token_names(name: str, vectors: int) -> list[str]:
    """The vocabulary entries of a token, spelled as diffusers spells a multi-vector token: <boot>, <boot>_1, ..."""
    return [name, *(f"{name}_{i}" for i in range(1, vectors))]


def token_phrase(token: str | None, vectors: int, word: str) -> str:
    """'<boot> <boot>_1 shoe': all vectors of the token, then the superclass."""
    return " ".join([*(token_names(token, vectors) if token else []), word])


def token_note(prompts: Iterable[str]) -> str | None:
    """What a learned token in the prompts is, in a sentence; None where there is none."""
    match = next(filter(None, map(TOKEN.search, prompts)), None)
    if match is None:
        return None
    return f"In prompts, {match[0]} is a token learned from images: each part of it is one vector, where a word would be."


def placeholders(template: str) -> list[str]:
    """The names in braces, in their order; '' for the class. Raises ValueError for braces that hold more than a name."""
    parts = [part for part in Formatter().parse(template) if part[1] is not None]
    if any(layout or conversion for _, _, layout, conversion in parts):
        raise ValueError(f"templates: {template!r} must have names alone in its braces")
    return [str(name) for _, name, _, _ in parts]


def fill(template: str, phrase: str, /, **words: str) -> str:
    """The template with the class's phrase for {}, where 'a' is 'an' before a vowel, and a word for each other name."""
    vowel = phrase.lower().startswith(tuple("aeiou"))
    return (ARTICLE.sub(r"\1n ", template) if vowel else template).format(phrase, **words)


def with_words(template: str, words: Mapping[str, str]) -> str:
    """The template with a word for each name, or nothing where there is none; {} stays."""
    escaped = {name: words.get(name, "").replace("{", "{{").replace("}", "}}") for name in placeholders(template) if name}
    return " ".join(template.format("{}", **escaped).split())


def draw(name: str, choices: Sequence[str], seed: int) -> str:
    """The one of the choices that stands for a name in the prompt of this seed."""
    return choices[derive(seed, name) % len(choices)]


def fill_template(templates: Sequence[str], words: Mapping[str, Sequence[str]], phrase: str, seed: int) -> str:
    """One of the templates, with the class's phrase for {} and one of the words for each other name; drawn by the seed."""

    drawn = {name: draw(name, choices, seed) for name, choices in words.items()}
    return fill(draw("template", templates, seed), phrase, **drawn)
