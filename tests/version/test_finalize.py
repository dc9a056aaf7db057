"""Finalizing: counts that add up everywhere, a manifest that tells the truth, and is written last."""

import hashlib
import io
from collections import Counter
from pathlib import Path
from typing import Any

import PIL.Image
import pyarrow as pa
import pytest

from pipelines.backbones.revision import revision_of
from pipelines.errors import StoreError
from pipelines.filters import Panel
from pipelines.learning.resources import Resources
from pipelines.methods import open_method
from pipelines.progress import Silent
from pipelines.records import Problem, Request
from pipelines.source.synthetic_mark import png
from pipelines.store import keys
from pipelines.store.canonical import canonical
from pipelines.store.object_store import ObjectReader, Store
from pipelines.version import rows
from pipelines.version.contents import in_turn, thumbnail_count, thumbnails
from pipelines.version.finalize import finalize, merged, totals
from pipelines.version.plan import Plan, make_plan
from pipelines.version.reports import FACTS
from pipelines.version.shard import run_shards
from tests.builders import Painter, noise, open_resources


def spoiled(request: Request) -> bool:
    return request.index % 3 == 1 or (request.index % 2 == 0 and request.attempt == 0)


def planned(resources: Resources) -> Plan:
    return make_plan(resources.spec, "spec", resources.source.fingerprint, resources.source.counts)


def fill_template(resources: Resources, painter: Painter) -> Resources:
    """A version whose shards are all made, but that is not finalized."""
    plan, method, panel = planned(resources), open_method(resources), Panel(resources)
    resources.store.create(keys.spec(resources.root), canonical(resources.spec.model_dump(mode="json")))
    resources.store.create(keys.plan(resources.root), canonical(plan.as_json()))
    run_shards(resources, plan, range(plan.shards), method, painter, panel)  # type: ignore[arg-type]
    return resources


@pytest.fixture
def resources(tiny_checkpoint: Path, tmp_path: Path) -> Resources:
    return open_resources(
        tmp_path / "store",
        models={"text_to_image": str(tiny_checkpoint)},
        amount={"per_class": 6},
        shard_size=5,
        filters=[{"type": "quality"}],
    )


def finalized(resources: Resources, painter: Painter | None = None) -> dict[str, Any]:
    fill_template(resources, painter or Painter(spoiled))
    return finalize(resources, planned(resources))


def test_no_model_is_loaded_to_finalize(resources: Resources) -> None:
    """A worker without a GPU does it; the card names the revision of the files."""
    made = fill_template(resources, Painter())
    fresh = Resources(made.spec, made.store, Silent())
    finalize(fresh, planned(fresh))
    assert fresh.loaded == []
    assert revision_of(Path(made.spec.models.text_to_image)) in made.store.get(keys.card(made.root)).decode()


def test_manifest_counts_are_the_sums_of_the_reports_and_the_rows_of_the_parquet(resources: Resources) -> None:
    manifest = finalized(resources)
    store, root, shards = resources.store, resources.root, planned(resources).shards
    assert shards == 3
    reports = [store.json(keys.report(root, n)) for n in range(shards)]
    kept = [row for n in range(shards) for row in rows.read(store.get(keys.data(root, n, shards)))]
    dropped = [row for n in range(shards) for row in rows.read(store.get(keys.rejected(root, n, shards)))]
    assert manifest["counts"] == {
        "planned": 12,
        "generated": len(kept) + len(dropped),
        "kept": len(kept),
        "dropped": len(dropped),
        "carried": 0,
        "reasons": Counter(row["reason"] for row in dropped),
        "labels": Counter(resources.source.classes[row["label"]] for row in kept),
        "skipped": {},
        "shortfall": {
            label: {
                "planned": 6,
                "kept": sum(resources.source.classes[row["label"]] == label for row in kept),
                "dropped": {"quality": sum(resources.source.classes[row["label"]] == label for row in dropped)},
            }
            for label in ("boot", "sneaker")
        },
    }
    for key in ("planned", "generated", "kept", "dropped"):
        assert manifest["counts"][key] == sum(report[key] for report in reports)
    assert 0 < len(kept) < 12


def test_the_manifest_names_every_object_with_its_size_and_hash(resources: Resources) -> None:
    finalized(resources)
    store, root = resources.store, resources.root
    files = store.json(keys.manifest(root))["files"]
    assert {f"{root}/{file['path']}" for file in files} == set(store.keys(root)) - {keys.manifest(root)}
    for file in files:
        data = store.get(f"{root}/{file['path']}")
        assert (file["size"], file["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    expected = {"spec.json", "plan.json", "quality.json", "README.md", "croissant.json", "figures/samples.png"}
    assert expected <= {file["path"] for file in files}


def test_what_follows_from_a_version_later_and_other_versions_are_not_in_its_manifest(resources: Resources) -> None:
    fill_template(resources, Painter(spoiled))
    root = resources.root
    others = [keys.run(root, "erm", 0), keys.evaluation(root), keys.seconds(root), keys.spec(root.replace("v1", "v10"))]
    for key in others:
        resources.store.put(key, b"{}")
    finalize(resources, planned(resources))
    listed = {file["path"] for file in resources.store.json(keys.manifest(root))["files"]}
    assert not [path for path in listed if "evaluation" in path or "seconds" in path or "v10" in path]


def test_of_reports_that_do_not_say_why_a_class_falls_short_it_is_said_by_how_much(resources: Resources) -> None:
    store, root = fill_template(resources, Painter(spoiled)).store, resources.root
    for number in range(planned(resources).shards):
        report = store.json(keys.report(root, number))
        assert report["label_reasons"].keys() == {"boot", "sneaker"}
        store.put(keys.report(root, number), canonical({k: v for k, v in report.items() if k != "label_reasons"}))
    counts = finalize(resources, planned(resources))["counts"]
    assert [(each["planned"], each["dropped"]) for each in counts["shortfall"].values()] == [(6, {}), (6, {})]


def test_a_version_of_which_all_was_kept_falls_short_in_no_class(resources: Resources) -> None:
    assert finalized(resources, Painter(lambda request: request.attempt == 0))["counts"]["shortfall"] == {}


class Stopping(Store):
    """A store that refuses to write one more object after so many: whoever writes is killed there."""

    left = 0

    def put_first(self, key: str, data: bytes) -> bytes:
        if Stopping.left == 0:
            raise KeyboardInterrupt(key)
        Stopping.left -= 1
        return super().put_first(key, data)


class Sealed(Store):
    """A store whose data files are not to be opened."""

    def get(self, key: str) -> bytes:
        assert not key.endswith(".parquet"), key
        return super().get(key)

    def file(self, key: str) -> ObjectReader | None:
        raise AssertionError(key)


def test_no_data_file_is_opened(resources: Resources) -> None:
    fill_template(resources, Painter(spoiled))
    resources.store = Sealed(resources.store.objects)
    finalize(resources, planned(resources))
    with PIL.Image.open(io.BytesIO(resources.store.get(keys.figure(resources.root, "samples.png")))) as sheet:
        assert sheet.width > 4 * 64


def test_of_reports_of_older_releases_the_version_is_the_same(resources: Resources, tmp_path: Path) -> None:
    """They have counts alone, or with the names of files: the rest is read from these."""
    other = Resources(resources.spec, Store.open(tmp_path / "other"), resources.progress)
    finalized(resources)
    fill_template(other, Painter(spoiled))
    for number, lacking in enumerate((FACTS, FACTS - {"files"}, frozenset[str]())):
        key = keys.report(other.root, number)
        report = other.store.json(key)
        other.store.put(key, canonical({name: value for name, value in report.items() if name not in lacking}))
    finalize(other, planned(other))
    for key in set(resources.store.keys(resources.root)) - set(resources.store.keys(keys.reports(resources.root))):
        if key != keys.manifest(resources.root):  # which has the hashes of the reports
            assert other.store.get(key) == resources.store.get(key), key
    counts = [each.store.json(keys.manifest(each.root))["counts"] for each in (resources, other)]
    assert counts[0] == counts[1]


def test_the_contact_sheet_is_fair_to_shards_and_classes() -> None:
    assert in_turn(["abc", "d", "", "ef"], 5) == ["a", "d", "e", "b", "f"]
    assert in_turn([], 5) == []
    assert [thumbnail_count(number, 3) for number in range(3)] == [22, 22, 22]
    assert [thumbnail_count(number, 1000) for number in (0, 63, 64, 999)] == [1, 1, 0, 0]
    images = [{"bytes": png(noise(n), synthetic=True)} for n in range(5)]
    samples = pa.table({"label": [0, 0, 0, 1, 2], "index": range(5), "image": images})
    assert [each["index"] for each in thumbnails(samples, 1, 32)] == [3, 4]


def test_killed_before_any_write_there_is_no_version_and_a_second_run_gives_the_same(
    resources: Resources, tmp_path: Path
) -> None:
    whole = Resources(resources.spec, Store.open(tmp_path / "whole"), resources.progress)
    finalized(whole)
    real = fill_template(resources, Painter(spoiled)).store
    kills = 0
    for writes in range(50):
        Stopping.left = writes
        resources.store = Stopping(real.objects)
        try:
            finalize(resources, planned(resources))
            break
        except KeyboardInterrupt as killed:
            kills += 1
            last = str(killed)
            assert not real.exists(keys.manifest(resources.root))
    assert kills >= 5
    assert last == keys.manifest(resources.root)
    assert real.keys("") == whole.store.keys("")
    assert all(real.get(key) == whole.store.get(key) for key in real.keys(""))


def test_finalizing_twice_changes_nothing(resources: Resources) -> None:
    first = finalized(resources)
    before = {key: resources.store.get(key) for key in resources.store.keys("")}
    assert finalize(resources, planned(resources)) == first
    assert {key: resources.store.get(key) for key in resources.store.keys("")} == before


def test_a_shard_without_a_report_stops_it(resources: Resources) -> None:
    plan = planned(resources)
    run_shards(resources, plan, [0], open_method(resources), Painter(), Panel(resources))  # type: ignore[arg-type]
    with pytest.raises(StoreError, match="2 of 3 shards have no report yet, the first is 1"):
        finalize(resources, plan)
    assert not resources.store.exists(keys.manifest(resources.root))


def test_a_version_of_which_nothing_was_kept_is_still_a_version(resources: Resources) -> None:
    manifest = finalized(resources, Painter(lambda request: True))
    assert manifest["counts"]["kept"] == 0
    assert manifest["counts"]["dropped"] == 36
    assert resources.store.json(keys.quality(resources.root))["kept_ratio"] == 0
    assert not resources.store.exists(keys.figure(resources.root, "samples.png"))


def test_the_quality_report_has_the_mean_scores_of_the_kept_and_the_problems(resources: Resources) -> None:
    resources.source.problems.append(Problem("train/boot/bad.png", "damaged image; replace it"))
    finalized(resources)
    found = resources.store.json(keys.quality(resources.root))
    assert found["problems"] == [{"id": "train/boot/bad.png", "reason": "damaged image; replace it"}]
    assert set(found["mean_scores"]) == {"quality.contrast", "quality.sharpness", "quality.saturated"}
    assert 0.1 < found["mean_scores"]["quality.contrast"] < 0.3
    assert found["kept_ratio"] == found["counts"]["kept"] / found["counts"]["generated"]


def test_counts_are_added_up_by_name() -> None:
    assert merged([{"b": 1, "a": 2}, {}, {"a": 3}]) == {"a": 5, "b": 1}
    report = {
        "planned": 2,
        "generated": 3,
        "kept": 1,
        "dropped": 2,
        "carried": 1,
        "reasons": {"x": 2},
        "labels": {"boot": 1},
    }
    assert totals([report, report], [Problem("1", "no shoe"), Problem("2", "no shoe")]) == {
        "planned": 4, "generated": 6, "kept": 2, "dropped": 4, "carried": 2, "reasons": {"x": 4},
        "labels": {"boot": 2}, "skipped": {"no shoe": 2},
    }  # fmt: skip
