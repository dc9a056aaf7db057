"""Prompts, spelled as diffusers spells a token of several vectors."""

import pytest
from diffusers.loaders import TextualInversionLoaderMixin

from pipelines.builtin.train.language import build_tokenizer
from pipelines.prompts import TEMPLATES, noun, token_names


@pytest.mark.parametrize("vectors", [1, 2, 4])
def test_a_token_is_written_out_as_diffusers_would(vectors: int) -> None:
    tokenizer = build_tokenizer()
    tokenizer.add_tokens(token_names("<boot>", vectors))
    expanded = TextualInversionLoaderMixin().maybe_convert_prompt("a photo of a <boot> shoe", tokenizer)
    assert TEMPLATES[0].format(noun("<boot>", vectors, "shoe")) == expanded


def test_without_a_token_the_word_stands_alone() -> None:
    assert noun(None, 4, "shoe") == "shoe"


def test_every_template_has_one_place_for_the_noun() -> None:
    assert all(template.format("X").count("X") == 1 for template in TEMPLATES)
    assert len(set(TEMPLATES)) == len(TEMPLATES)
