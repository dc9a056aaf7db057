"""The quality report of a version that was really published, from its files. Costs five seconds, with a tiny checkpoint."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.filters import Panel
from pipelines.learning.resources import Resources
from pipelines.methods import open_method
from pipelines.quality import read
from pipelines.quality.pictures import pictures
from pipelines.quality.report import FILE, make, quality_report
from pipelines.store import keys
from pipelines.store.canonical import canonical
from pipelines.version.finalize import finalize
from pipelines.version.plan import Plan, make_plan
from pipelines.version.shard import run_shards
from tests.builders import Painter, open_resources

SECONDS = {"generate": 24.0}


@pytest.fixture
def published(tiny_checkpoint: Path, tmp_path: Path) -> tuple[Resources, Plan]:
    """Noise, as nobody would take for a garment."""
    models = {"text_to_image": str(tiny_checkpoint), "resolution": 32}
    resources = open_resources(tmp_path, models=models, amount={"per_class": 12}, shard_size=5, filters=[])
    plan = make_plan(resources.spec, "spec", resources.source.fingerprint, resources.source.counts)
    resources.store.create(keys.plan(resources.root), canonical(plan.as_json()))
    run_shards(resources, plan, range(plan.shards), open_method(resources), Painter(), Panel(resources))  # type: ignore[arg-type]
    return resources, plan


def test_noise_is_found_to_be_no_garment_and_its_images_are_at_hand(published: tuple[Resources, Plan]) -> None:
    resources, plan = published
    report = quality_report(resources, plan, finalize(resources, plan)["counts"], SECONDS)
    assert report["images"] == {"samples": 24, "measured": 24, "train": 40, "held_out": 32}
    assert report["sections"]["unrealistic"]["found"]
    assert not report["sections"]["unoriginal"]["found"]
    assert report["yield"]["seconds_per_sample"] == 1
    images = pictures(resources, report, 3)
    assert {kind for kind, _ in images} >= {"sample"}
    assert all(image.shape == (32, 32, 3) for image in images.values())


def test_it_is_made_once(published: tuple[Resources, Plan]) -> None:
    resources, plan = published
    counts = finalize(resources, plan)["counts"]
    first = quality_report(resources, plan, counts, SECONDS)
    assert quality_report(resources, plan, counts, {"generate": 1.0}) == first
    assert resources.store.json(keys.report_file(resources.root, FILE)) == first
    finalize(resources, plan)  # which takes away what no report names
    assert resources.store.exists(keys.report_file(resources.root, FILE))


def test_a_refreshed_version_says_what_is_otherwise_than_before(published: tuple[Resources, Plan]) -> None:
    resources, plan = published
    counts = finalize(resources, plan)["counts"]
    first = quality_report(resources, plan, counts, SECONDS)
    assert first["changes"] is None
    again = make(resources, replace(plan, previous=1), counts, SECONDS)
    assert {"probe_auc", "vendi_ratio", "copies", "wrong_labels"} <= again["changes"].keys()
    assert all(part["before"] == part["after"] for part in again["changes"].values())


def test_of_a_large_version_some_whole_shards_are_measured(
    published: tuple[Resources, Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    resources, plan = published
    monkeypatch.setattr(read, "SAMPLES", 9)
    monkeypatch.setattr(read, "REAL", 7)
    chosen = [row["index"] for row in read.sample_rows(resources, plan, 24)]
    assert len(chosen) == 9
    assert len({index % plan.shards for index in chosen}) == 2
    assert [len(items) for items in read.real_items(resources)] == [7, 7]
    assert read.real_items(resources) == read.real_items(resources)
