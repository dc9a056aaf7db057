"""Samples in the order of a score, read and sorted or by the stored order. Three seconds, most of them imports."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import SpecError
from pipelines.store import keys
from pipelines.store.object_store import Store
from pipelines.version import ranked, score_order
from pipelines.version.browse import SampleFilter
from pipelines.version.plan import read_plan
from pipelines.version.score_order import write_orders
from tests.service.console.samples import HOSTILE, REASON, publish_samples, write_samples

ROOT = keys.version("shoes", 1)
CONTRAST = SampleFilter(score="quality.contrast", least=0.05)
FILTERS: list[dict[str, Any]] = [
    {},
    {"least": 0.05},
    {"most": 0.0123, "verdict": "kept"},
    {"verdict": "dropped", "reason": REASON[:9]},
    {"reason": "attribution"},
    {"label": HOSTILE, "group": "on brick"},
    {"label": "no such class"},
    {"least": 0.02, "most": 0.06, "label": "boot", "verdict": "dropped"},
]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store.open(tmp_path)
    write_samples(made, "shoes", 1)
    return made


def stored(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Store the orders, in groups of 50 rows."""
    monkeypatch.setattr(score_order, "ROWS", 50)
    publish_samples(store, "shoes", 1)
    plan = read_plan(store, ROOT)
    assert plan is not None
    write_orders(store, ROOT, plan)


def all_of(store: Store, only: SampleFilter, descending: bool, limit: int) -> list[dict[str, Any]]:
    samples, start = [], (0, 0)
    for _ in range(400):
        page, following = ranked.page(store, ROOT, only, descending=descending, start=start, limit=limit)
        assert len(page) <= limit
        samples += page
        if following is None:
            return samples
        start = following
    raise AssertionError("pages without end")


def test_pages_go_through_all_of_them_in_order(store: Store) -> None:
    for descending in (False, True):
        ids = [sample["id"] for sample in all_of(store, CONTRAST, descending, 33)]
        every = [f"{index}-{attempt}" for index in range(50, 160) for attempt in (0, 1)]
        assert ids == (every[::-1] if descending else every)


@pytest.mark.parametrize("criteria", FILTERS)
def test_the_stored_order_gives_what_reading_and_sorting_gives(
    store: Store, monkeypatch: pytest.MonkeyPatch, criteria: dict[str, Any]
) -> None:
    only = SampleFilter(score="quality.contrast", **criteria)
    expected = {descending: all_of(store, only, descending, 100) for descending in (False, True)}
    stored(store, monkeypatch)
    monkeypatch.setattr(ranked, "sorted_samples", None)  # nothing is read and sorted any more
    for descending, samples in expected.items():
        assert all_of(store, only, descending, 7) == samples


def test_a_page_after_one_that_was_read_and_sorted_goes_on_as_it_began(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [sample["id"] for sample in all_of(store, CONTRAST, False, 500)]
    _, following = ranked.page(store, ROOT, CONTRAST, descending=False, start=(0, 0), limit=30)
    stored(store, monkeypatch)
    assert following is not None
    page, _ = ranked.page(store, ROOT, CONTRAST, descending=False, start=following, limit=30)
    assert [sample["id"] for sample in page] == expected[30:60]


def test_orders_are_the_same_bytes_again(store: Store) -> None:
    plan = read_plan(store, ROOT)
    assert plan is not None
    first, second = (dict(score_order.score_orders(store, ROOT, plan)) for _ in range(2))
    assert first == second
    assert first.keys() == {"quality.contrast"}


@pytest.mark.parametrize("score", ["../../../secret", "a/b", "", "quality..contrast"])
def test_what_cannot_be_the_name_of_a_score_names_no_file(store: Store, score: str) -> None:
    assert keys.score_order(ROOT, score) is None
    assert ranked.page(store, ROOT, SampleFilter(score=score), descending=False, start=(0, 0), limit=10) == ([], None)


def test_more_than_can_be_sorted_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranked, "MOST", 319)
    with pytest.raises(SpecError, match="order: the version has more than 319 samples"):
        ranked.page(store, ROOT, CONTRAST, descending=False, start=(0, 0), limit=10)


def test_a_version_without_a_plan_has_none(tmp_path: Path) -> None:
    nothing = ranked.page(Store.open(tmp_path), ROOT, CONTRAST, descending=False, start=(0, 0), limit=10)
    assert nothing == ([], None)


@pytest.mark.parametrize("is_stored", [False, True])
def test_a_region_of_a_large_version_is_sorted(store: Store, monkeypatch: pytest.MonkeyPatch, is_stored: bool) -> None:
    monkeypatch.setattr(ranked, "MOST", 3)
    if is_stored:
        stored(store, monkeypatch)
    only = SampleFilter(score="quality.contrast", region={(0, "kept"): [3, 7], (2, "dropped"): [5]})
    samples, following = ranked.page(store, ROOT, only, descending=True, start=(0, 0), limit=10)
    assert [sample["verdict"] for sample in samples] == ["kept", "dropped", "kept"]
    assert [sample["index"] for sample in samples] == [28, 22, 12]
    assert following is None
