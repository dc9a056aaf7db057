"""Which images a token is learned from."""

from pathlib import Path

import pytest

from pipelines.errors import SourceError
from pipelines.learning.tokens import Tokens, extremes
from pipelines.records import Item
from pipelines.spec import Inversion
from tests.builders import open_resources

TAIL = {"type": "long-tail", "head": 6, "imbalance": 3, "validation": 10, "test": 10}
QUICK = Inversion(vectors=2, images=2, steps=2, batch=2, masked=False)


@pytest.mark.parametrize("count", [0, 1, 2, 5, 6, 7, 50])
def test_both_ends_in_turn_each_once(count: int) -> None:
    items = [Item(str(n), "", "boot", None) for n in range(6)]
    found = [int(item.id) for item in extremes(items, count)]
    assert found == [5, 0, 4, 1, 3, 2][:count]


def test_half_of_a_tokens_images_contradict_the_shortcut(tmp_path: Path) -> None:
    """19 in 20 boots stand on grass; of those that the token is learned from, about half do."""
    made = open_resources(
        tmp_path,
        source={"type": "spurious", "train": 600, "validation": 16, "test": 16},
        classifier={"steps": 80, "batch": 32},
    )
    assert Tokens(made, "shoe", None).learned == {}
    for label, scene in (("boot", "grass"), ("sneaker", "brick")):
        chosen = extremes([item for item, _ in made.ranking[label]], 24)
        assert 0.3 < sum(item.group == scene for item in chosen) / len(chosen) < 0.8


def test_a_token_whose_word_is_seen_nowhere_is_refused(tmp_path: Path) -> None:
    tokens = Tokens(open_resources(tmp_path, source=TAIL), {"boot": "shoe"}, QUICK.model_copy(update={"masked": True}))
    tokens.resources.view.object_masks = lambda items, word: [None] * len(items)  # type: ignore[method-assign]
    with pytest.raises(SourceError, match=r"'builtin' looked at \d images? of class 'boot' and found no 'shoe'; choose"):
        _ = tokens.learned


def test_a_token_is_learned_where_there_is_a_superclass_and_said_before_it(tmp_path: Path) -> None:
    """Of a tail of many kinds, only those are learned whose names say nothing to the model."""
    names = {"bag": "handbag", "coat": "overcoat"}
    made = open_resources(tmp_path, source=TAIL, method={"type": "text_to_image", "names": names})
    tokens = Tokens(made, {"boot": "shoe", "coat": "dress"}, QUICK)
    assert set(tokens.learned) == {"boot", "coat"}
    assert tokens.phrase("boot") == "<boot> <boot>_1 shoe"
    assert tokens.phrase("coat") == "<coat> <coat>_1 dress"
    assert tokens.phrase("bag") == "handbag"
    assert tokens.phrase("shirt") == "shirt"
    assert tokens.key("bag") is None
    assert made.store.exists(str(tokens.key("boot")))
