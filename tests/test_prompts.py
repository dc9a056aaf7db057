"""Prompts, spelled as diffusers spells a token of several vectors."""

import pytest
from diffusers.loaders import TextualInversionLoaderMixin

from pipelines.builtin.train.language import build_tokenizer
from pipelines.prompts import TEMPLATES, fill_template, placeholders, token_names, token_phrase


@pytest.mark.parametrize("vectors", [1, 2, 4])
def test_a_token_is_written_out_as_diffusers_would(vectors: int) -> None:
    tokenizer = build_tokenizer()
    tokenizer.add_tokens(token_names("<boot>", vectors))
    expanded = TextualInversionLoaderMixin().maybe_convert_prompt("a photo of a <boot> shoe", tokenizer)
    assert TEMPLATES[0].format(token_phrase("<boot>", vectors, "shoe")) == expanded


def test_without_a_token_the_word_stands_alone() -> None:
    assert token_phrase(None, 4, "shoe") == "shoe"


def test_every_template_has_one_place_for_the_noun() -> None:
    assert all(template.format("X").count("X") == 1 for template in TEMPLATES)
    assert len(set(TEMPLATES)) == len(TEMPLATES)


def test_a_template_is_filled_with_the_class_and_a_word_for_each_name() -> None:
    words = {"scene": ("on grass", "at night"), "colour": ("red", "blue")}
    made = {fill_template(["a {colour} {} {scene}", "one {}"], words, "<boot> shoe", seed) for seed in range(100)}
    every = {f"a {c} <boot> shoe {s}" for c in words["colour"] for s in words["scene"]} | {"one <boot> shoe"}
    assert made == every
    assert fill_template(["a {}"], {}, "{boot}", 0) == "a {boot}", "what a class is called is never filled in itself"


def test_only_names_may_stand_in_braces() -> None:
    assert placeholders("a {colour} {} on {scene}") == ["colour", "", "scene"]
    for template in ("{:>9999999999}", "a {!r}", "{scene:9} {}"):
        with pytest.raises(ValueError, match="must have names alone in its braces"):
            placeholders(template)
