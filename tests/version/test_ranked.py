"""Samples in the order of a score. Two seconds, most of them imports."""

from pathlib import Path

import pytest

from pipelines.errors import SpecError
from pipelines.store import keys
from pipelines.store.object_store import Store
from pipelines.version import ranked
from pipelines.version.browse import SampleFilter
from tests.service.console.samples import write_samples

ROOT = keys.version("shoes", 1)
CONTRAST = SampleFilter(score="quality.contrast", least=0.05)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store.open(tmp_path)
    write_samples(made, "shoes", 1)
    return made


def test_pages_go_through_all_of_them_in_order(store: Store) -> None:
    for descending in (False, True):
        ids, start = [], 0
        while True:
            samples, following = ranked.page(store, ROOT, CONTRAST, descending=descending, start=start, limit=33)
            ids += [sample["id"] for sample in samples]
            if following is None:
                break
            start = following
        order = sorted(range(50, 160), reverse=descending)
        assert ids == [f"{index}-{attempt}" for index in order for attempt in (0, 1)]


def test_more_than_can_be_sorted_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranked, "MOST", 319)
    with pytest.raises(SpecError, match="order: the version has more than 319 samples"):
        ranked.page(store, ROOT, CONTRAST, descending=False, start=0, limit=10)


def test_a_version_without_a_plan_has_none(tmp_path: Path) -> None:
    assert ranked.page(Store.open(tmp_path), ROOT, CONTRAST, descending=False, start=0, limit=10) == ([], None)
