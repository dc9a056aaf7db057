"""The order of filters: it is the cheapest of all orders, and changes no verdict. Two seconds."""

from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.filters import Panel
from pipelines.filters.order import IMAGES, ordered
from pipelines.learning.resources import Resources
from pipelines.records import Candidate, Sample
from pipelines.store import keys
from tests.builders import candidate, flat, noise, open_resources

SECONDS = {"a": 1.0, "b": 5.0, "c": 2.0, "d": 0.5}


def expense(order: tuple[str, ...] | list[str], dropped: list[frozenset[str]]) -> float:
    """Seconds until all images are judged, one that is dropped by no further filter."""
    total = 0.0
    for filters in dropped:
        for name in order:
            total += SECONDS[name]
            if name in filters:
                break
    return total


def test_independent_filters_have_the_cheapest_of_all_orders() -> None:
    chance = np.random.default_rng(0)
    shares = {"a": 0.1, "b": 0.6, "c": 0.5, "d": 0.0}
    dropped = [frozenset(name for name, share in shares.items() if chance.random() < share) for _ in range(2000)]
    order = ordered(SECONDS, dropped)
    assert order == ["c", "b", "a", "d"]
    assert expense(order, dropped) == min(expense(other, dropped) for other in permutations(SECONDS))


def test_a_filter_that_drops_only_what_another_drops_comes_after_it() -> None:
    dropped = [frozenset({"a", "c"})] * 5 + [frozenset({"a", "b"})] * 5
    assert ordered(SECONDS, dropped) == ["a", "b", "c", "d"], "those without power are as listed"


def opened(folder: Path, **changes: Any) -> Resources:
    filters = [{"type": "near_duplicate"}, {"type": "quality"}]
    return open_resources(folder, method={"type": "text_to_image"}, filters=filters, **changes)


@pytest.fixture
def candidates() -> list[Candidate]:
    """One in two is blank."""
    return [candidate(flat() if number % 2 else noise(number), index=number) for number in range(IMAGES + 36)]


def facts(samples: list[Sample]) -> list[tuple[bool, dict[str, float]]]:
    return [(sample.verdict.kept, sample.verdict.scores if sample.verdict.kept else {}) for sample in samples]


def test_the_order_that_was_measured_keeps_the_same_with_the_same_scores(
    tmp_path: Path, candidates: list[Candidate]
) -> None:
    as_listed = Panel(opened(tmp_path / "listed")).judge(candidates)
    resources = opened(tmp_path / "measured", filter_order="measured")
    panel = Panel(resources)
    first = [sample for start in range(0, IMAGES, 16) for sample in panel.judge(candidates[start : start + 16])]
    assert panel.order is not None
    assert panel.order.names == ["quality", "near_duplicate"], "what drops half of the images comes first"
    assert facts(first + panel.judge(candidates[IMAGES:])) == facts(as_listed)
    assert [sample.verdict.reason for sample in first] == [sample.verdict.reason for sample in as_listed[:IMAGES]]
    stored = resources.store.json(keys.filter_order(resources.root))
    assert stored["dropped"] == {"near_duplicate": 0, "quality": IMAGES // 2}
    assert stored["images"] == IMAGES
    heir = Panel(resources).order
    assert heir is not None
    assert heir.names == panel.order.names
