"""Prompts, spelled as diffusers spells a token of several vectors."""

import pytest
from diffusers.loaders import TextualInversionLoaderMixin

from pipelines.builtin.train.language import build_tokenizer
from pipelines.builtin.world import COLOURS, GARMENTS, WORDS
from pipelines.prompts import TEMPLATES, fill, fill_template, placeholders, token_names, token_phrase


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
    assert fill_template(["{template} {}"], {"template": ["one"]}, "boot", 0) == "one boot", "a word may have any name"
    assert fill_template(["a {}"], {}, "{boot}", 0) == "a {boot}", "what a class is called is never filled in itself"


def test_only_names_may_stand_in_braces() -> None:
    assert placeholders("a {colour} {} on {scene}") == ["colour", "", "scene"]
    for template in ("{:>9999999999}", "a {!r}", "{scene:9} {}"):
        with pytest.raises(ValueError, match="must have names alone in its braces"):
            placeholders(template)


@pytest.mark.parametrize(
    ("template", "phrase", "prompt"),
    [
        ("a photo of a {}", "evening gown", "a photo of an evening gown"),
        ("a photo of a {}", "Egyptian cat", "a photo of an Egyptian cat"),
        ("A {} by a {tree}", "owl", "An owl by a oak"),
        ("a photo of a {}", "<owl> owl", "a photo of a <owl> owl"),
        ("a photo of a {}", "siskin", "a photo of a siskin"),
        ("a photo of the {}, a bird", "owl", "a photo of the owl, a bird"),
        ("banana {}", "owl", "banana owl"),
    ],
)
def test_an_article_fits_the_class_that_follows_it(template: str, phrase: str, prompt: str) -> None:
    assert fill(template, phrase, tree="oak") == prompt
    assert fill_template([template], {"tree": ["oak"]}, phrase, 0) == prompt


def test_prompts_of_the_built_in_world_are_those_that_its_model_was_trained_on() -> None:
    """Its tokenizer has no 'an', and its captions say 'a orange boot'."""
    for template in TEMPLATES:
        assert all(fill(template, word) == template.format(word) for word in (*GARMENTS, *WORDS))
    coloured = {fill_template(["a photo of a {colour} {}"], {"colour": list(COLOURS)}, "boot", seed) for seed in range(200)}
    assert coloured == {f"a photo of a {colour} boot" for colour in COLOURS}
    assert build_tokenizer().tokenize("a orange") == ["a</w>", "orange</w>"]
