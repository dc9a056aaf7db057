"""Words of one token, by the tokenizers' files, against transformers' own tokenizers. Two seconds."""

from pathlib import Path

import pytest
from transformers import CLIPTokenizer

from pipelines.backbones.vocabulary import check_words, single_tokens, suggestions
from pipelines.builtin.checkpoints import resolve
from pipelines.errors import SpecError
from tests.builders import spec

WORDS = ("shoe", "dress", "boots", "t-shirt", "wellington boot", "Shoe", "shirt", "grass", "xylophone")
INVERSION = {"type": "text_to_image", "superclass": "shoe", "inversion": {"steps": 1}}


@pytest.mark.parametrize("slow", [True, False], ids=["vocab.json", "tokenizer.json"])
def test_a_word_is_one_token_where_the_tokenizer_says_so(tmp_path: Path, slow: bool) -> None:
    tokenizer = CLIPTokenizer.from_pretrained(Path(resolve("builtin", "model")) / "tokenizer")
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    if slow:
        (tmp_path / "tokenizer" / "tokenizer.json").unlink()
        (tmp_path / "tokenizer" / "vocab.json").write_text(__import__("json").dumps(tokenizer.get_vocab()))
    words = single_tokens(tmp_path)
    counts = {word: len(tokenizer(word, add_special_tokens=False).input_ids) for word in WORDS}
    assert {word for word in WORDS if word.lower() in words} == {word for word, count in counts.items() if count == 1}


def test_a_word_of_several_tokens_is_refused_with_others_that_are_one() -> None:
    folder = Path(resolve("builtin", "model"))
    check_words(spec(method=INVERSION), folder)
    with pytest.raises(SpecError, match=r"^method\.superclass: 'wellington boot' is several tokens of .*like 'shoe'"):
        check_words(spec(method={**INVERSION, "superclass": "wellington boot"}), folder)
    check_words(spec(method={**INVERSION, "superclass": "wellington boot", "inversion": {"initializer": "shoe"}}), folder)
    with pytest.raises(SpecError, match=r"^method\.inversion\.initializer: 'two words' is several tokens"):
        check_words(spec(method={**INVERSION, "inversion": {"initializer": "two words"}}), folder)
    assert suggestions("ankle boot", {"boot", "ankle", "bird"}) == ["boot", "ankle", "bird"]
    assert suggestions("sneeker", {"sneaker", "bird"}) == ["sneaker", "bird"]


def test_what_has_no_such_tokenizer_is_not_judged(tmp_path: Path) -> None:
    assert single_tokens(tmp_path) == set()
    check_words(spec(method={**INVERSION, "superclass": "wellington boot"}), tmp_path)
