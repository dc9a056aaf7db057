"""The map of a published version: what is drawn, and where. Fifteen seconds, with a tiny checkpoint."""

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.learning.resources import Resources
from pipelines.quality import projection
from pipelines.quality.projection import SPREAD, balanced, projected
from pipelines.quality.report import quality_report
from pipelines.report.embedding_map import FILE, SIDE, read_map
from pipelines.store import keys
from pipelines.version import browse
from pipelines.version.finalize import finalize
from pipelines.version.plan import Plan
from tests.quality.test_report import SECONDS, published

__all__ = ["published"]


def clouds(count: int, seed: int = 0) -> NDArray[np.float16]:
    """As many unit vectors in each of three directions, with some noise."""
    rng = np.random.default_rng(seed)
    vectors = np.repeat(rng.normal(size=(3, 32)), count, axis=0) + 0.3 * rng.normal(size=(3 * count, 32))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def test_what_is_alike_lies_together_and_always_at_the_same_place() -> None:
    vectors = clouds(40)
    points = projected(vectors, seed=0)
    assert (projected(vectors, seed=0) == points).all()
    assert points.min() > 0
    assert points.max() < SIDE
    assert np.ptp(points, axis=0) == pytest.approx([SPREAD, SPREAD], rel=1e-5)
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (distances.argmin(axis=1) // 40 == np.arange(120) // 40).all()


@pytest.mark.parametrize("count", [5, 6, 20])
def test_few_images_and_equal_ones_have_a_place(count: int) -> None:
    assert np.isfinite(projected(clouds(count)[:count], 0)).all()
    assert (projected(np.ones((count, 8), np.float16), 0) == SIDE / 2).all()
    assert np.isfinite(projected(np.repeat(clouds(1), count, axis=0), 0)).all()


def test_every_cell_is_drawn_from_as_nearly_equally_as_it_has_images() -> None:
    cells = ["many"] * 500 + ["some"] * 30 + ["few"] * 4
    rows = balanced(cells, 60, seed=0)
    counts = {cell: sum(cells[row] == cell for row in rows) for cell in ("many", "some", "few")}
    assert counts == {"many": 28, "some": 28, "few": 4}
    assert rows.tolist() == sorted(set(rows.tolist()))
    assert (balanced(cells, 60, seed=0) == rows).all()
    assert (balanced(cells, 60, seed=1) != rows).any()
    assert len(balanced(cells, 1000, seed=0)) == len(cells)


def test_a_published_version_has_its_map_and_each_point_leads_to_its_sample(published: tuple[Resources, Plan]) -> None:
    resources, plan = published
    store, root = resources.store, resources.root
    quality_report(resources, plan, finalize(resources, plan)["counts"], SECONDS)
    drawn = read_map(store, root)
    assert drawn is not None
    assert drawn.counts == {"kept": 24, "dropped": 0, "real": 72}
    assert drawn.totals == drawn.counts
    whole = browse.SampleFilter()
    for row in np.flatnonzero(drawn.kinds == "kept"):
        shard, number = drawn.places[row].tolist()
        only = browse.SampleFilter(region={(shard, "kept"): [number]})
        (sample,), following = browse.page(store, root, only, (0, 0), 10)
        assert (sample["id"], sample["label"], following) == (drawn.ids[row], drawn.labels[row], None)
    assert len(browse.files(plan, whole)) > len(browse.files(plan, only)) == 1


def test_a_large_version_s_map_is_a_sample_and_says_so(
    published: tuple[Resources, Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    resources, plan = published
    monkeypatch.setattr(projection, "POINTS", 20)
    quality_report(resources, plan, finalize(resources, plan)["counts"], SECONDS)
    drawn = read_map(resources.store, resources.root)
    assert drawn is not None
    assert drawn.counts == {"kept": 10, "dropped": 0, "real": 10}
    assert drawn.totals == {"kept": 24, "dropped": 0, "real": 72}
    assert {(kind, label): int(((drawn.kinds == kind) & (drawn.labels == label)).sum())
            for kind in ("kept", "real") for label in drawn.classes} == dict.fromkeys(
                [(kind, label) for kind in ("kept", "real") for label in drawn.classes], 5)  # fmt: skip


def test_a_report_of_an_older_release_stays_without_a_map(published: tuple[Resources, Plan]) -> None:
    resources, plan = published
    counts = finalize(resources, plan)["counts"]
    first = quality_report(resources, plan, counts, SECONDS)
    resources.store.delete(keys.report_file(resources.root, FILE))
    assert quality_report(resources, plan, counts, SECONDS) == first
    assert read_map(resources.store, resources.root) is None
