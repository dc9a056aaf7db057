"""Which images a token is learned from."""

from pathlib import Path

import pytest

from pipelines.records import Item
from pipelines.tokens import Tokens, extremes
from tests.benches import bench


@pytest.mark.parametrize("count", [0, 1, 2, 5, 6, 7, 50])
def test_both_ends_in_turn_each_once(count: int) -> None:
    items = [Item(str(n), "", "boot", None) for n in range(6)]
    found = [int(item.id) for item in extremes(items, count)]
    assert found == [5, 0, 4, 1, 3, 2][:count]


def test_half_of_a_tokens_images_contradict_the_shortcut(tmp_path: Path) -> None:
    """19 in 20 boots stand on grass; of those that the token is learned from, about half do."""
    made = bench(
        tmp_path,
        source={"type": "spurious", "train": 600, "validation": 16, "test": 16},
        classifier={"steps": 80, "batch": 32},
    )
    assert Tokens(made, "shoe", None).learned == {}
    for label, scene in (("boot", "grass"), ("sneaker", "brick")):
        chosen = extremes([item for item, _ in made.ranking[label]], 24)
        assert 0.3 < sum(item.group == scene for item in chosen) / len(chosen) < 0.8
