"""What repeats an image of another shard goes, whatever the order of shards, and wherever who drops it is killed. 15 s."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import load_dataset

from pipelines.engine.probe import Probe
from pipelines.engine.requests import RequestQueue
from pipelines.filters import Panel
from pipelines.filters.fingerprints import StoredFingerprints
from pipelines.learning.resources import Resources
from pipelines.methods import open_method
from pipelines.records import Candidate
from pipelines.store import keys
from pipelines.store.canonical import canonical
from pipelines.store.object_store import Store
from pipelines.version import browse, duplicates, rows
from pipelines.version.discard import discard
from pipelines.version.duplicates import REASON, Gallery
from pipelines.version.files import all_stored, current_report
from pipelines.version.finalize import finalize
from pipelines.version.plan import Plan
from pipelines.version.refresh import make_refresh, open_base
from pipelines.version.shard import rewrite_shard, run_shards
from tests.builders import Painter, noise, open_resources
from tests.version.test_finalize import planned

# Of twelve images in three shards, dealt in turn: 0 is repeated in both others, and 2 of the last shard in the second.
COPIES = {5: 0, 7: 0, 10: 2}


class Copying(Painter):
    """An image for each index; for those of `copies`, that of another."""

    def __init__(self, copies: dict[int, int]) -> None:
        super().__init__()
        self.copies = copies

    def batches(self, queue: RequestQueue, probe: Probe | None = None) -> Iterator[list[Candidate]]:
        while batch := queue.take(self.capacity, wait=True):
            yield [Candidate(r, noise(self.copies.get(r.index, r.index))) for r in batch]


def opened(folder: Path, checkpoint: Path, fence: int | None = None, **changes: Any) -> Resources:
    resources = open_resources(
        folder,
        **{
            "models": {"text_to_image": str(checkpoint)},
            "amount": {"per_class": 6},
            "shard_size": 5,
            "filters": [{"type": "near_duplicate"}],
            **changes,
        },
    )
    resources.fence = fence
    return resources


def generated(resources: Resources, plan: Plan, copies: dict[int, int], order: Sequence[int]) -> None:
    resources.store.put(keys.spec(resources.root), canonical(resources.spec.model_dump(mode="json")))
    resources.store.put(keys.plan(resources.root), canonical(plan.as_json()))
    for number in order:
        panel, painter = Panel(resources), Copying(copies)
        run_shards(resources, plan, [number], open_method(resources), painter, panel)  # type: ignore[arg-type]


def tree(store: Store) -> dict[str, str]:
    return {key: hashlib.sha256(store.get(key)).hexdigest() for key in store.keys("")}


def made(folder: Path, checkpoint: Path, order: Sequence[int] = (0, 1, 2)) -> Resources:
    resources = opened(folder, checkpoint)
    generated(resources, planned(resources), COPIES, order)
    finalize(resources, planned(resources))
    return resources


def test_what_repeats_an_image_of_another_shard_goes(tiny_checkpoint: Path, tmp_path: Path) -> None:
    resources = made(tmp_path / "store", tiny_checkpoint)
    store, root, plan = resources.store, resources.root, planned(resources)
    kept, dropped = rows.read_shards(store, root, plan), rows.read_shards(store, root, plan, rejected=True)
    assert sorted(row["index"] for row in kept) == [0, 1, 2, 3, 4, 6, 8, 9, 11]
    assert {row["index"]: row["reason"] for row in dropped} == dict.fromkeys(COPIES, REASON)
    assert [json.loads(row["scores"])["near_duplicate.to_others"] for row in dropped] == [0, 0, 0]
    assert {row["index"]: row["image"] for row in dropped}[7] == {row["index"]: row["image"] for row in kept}[0]
    assert store.json(keys.duplicates(root))["2"]["5"]["of"] == 0


def test_the_counts_are_those_of_the_rows_and_the_files_those_of_the_manifest(tiny_checkpoint: Path, tmp_path: Path) -> None:
    resources = made(tmp_path / "store", tiny_checkpoint)
    store, root, plan = resources.store, resources.root, planned(resources)
    manifest, classes = store.json(keys.manifest(root)), resources.source.classes
    reports = [current_report(store, root, number) or {} for number in range(plan.shards)]
    kept = rows.read_shards(store, root, plan)
    labels = Counter(classes[row["label"]] for row in kept)
    gone = Counter(classes[row["label"]] for row in rows.read_shards(store, root, plan, rejected=True))
    assert (manifest["counts"]["kept"], manifest["counts"]["dropped"]) == (9, 3)
    for name in ("planned", "generated", "kept", "dropped"):
        assert manifest["counts"][name] == sum(report[name] for report in reports)
    assert manifest["counts"]["reasons"] == {REASON: 3}
    assert manifest["counts"]["labels"] == labels
    assert manifest["counts"]["shortfall"] == {
        label: {"planned": 6, "kept": labels[label], "dropped": {"near_duplicate": count}} for label, count in gone.items()
    }
    assert {f"{root}/{file['path']}" for file in manifest["files"]} == set(store.keys(root)) - {keys.manifest(root)}
    for file in manifest["files"]:
        data = store.get(f"{root}/{file['path']}")
        assert (file["size"], file["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    for files in all_stored(store, root, plan):
        prints = StoredFingerprints.decode(store.get(files["fingerprints"]))
        assert sorted(prints.indices.tolist()) == sorted(rows.column(store, files["data"], "index"))
    shown = [each for report in reports for each in report["thumbnails"]]
    assert sorted(each["index"] for each in shown) == sorted(row["index"] for row in kept)
    pattern = str(tmp_path / "store" / root / "data/*.parquet")
    loaded = load_dataset("parquet", data_files=pattern, split="train", cache_dir=str(tmp_path / "cache"))
    assert sorted(loaded["index"]) == sorted(row["index"] for row in kept)
    page, _ = browse.page(store, root, browse.SampleFilter(), (0, 0), 100)
    assert len(page) == 12
    assert browse.image(store, root, 7, 0) == browse.image(store, root, 0, 0)


def test_the_order_of_shards_is_all_the_same(tiny_checkpoint: Path, tmp_path: Path) -> None:
    orders = [(0, 1, 2), (2, 0, 1), (1, 2, 0)]
    trees = [tree(made(tmp_path / str(n), tiny_checkpoint, order).store) for n, order in enumerate(orders)]
    assert trees[0] == trees[1] == trees[2]


class Killing(Store):
    """A store whose user is killed after one change; to write again what is there is none."""

    changed = False

    def change(self, key: str) -> None:
        if Killing.changed:
            raise KeyboardInterrupt(key)
        Killing.changed = True

    def put(self, key: str, data: bytes) -> None:
        if not self.exists(key):
            self.change(key)
        super().put(key, data)

    def put_first(self, key: str, data: bytes) -> bytes:
        if not self.exists(key):
            self.change(key)
        return super().put_first(key, data)

    def delete(self, key: str) -> None:
        self.change(key)
        super().delete(key)


def test_killed_before_any_change_a_second_run_gives_the_same(tiny_checkpoint: Path, tmp_path: Path) -> None:
    whole = tree(made(tmp_path / "whole", tiny_checkpoint).store)
    resources = opened(tmp_path / "killed", tiny_checkpoint)
    generated(resources, planned(resources), COPIES, (0, 1, 2))
    real, killed = resources.store, list[str]()
    for run in range(100):
        Killing.changed = run == 0
        resources.store = Killing(real.objects)
        try:
            finalize(resources, planned(resources))
            break
        except KeyboardInterrupt as at:
            killed.append(str(at))
            assert not real.exists(keys.manifest(resources.root))
            rows.read_shards(real, resources.root, planned(resources))  # whoever looks meanwhile finds every file
    assert [key for key in killed if "-distinct" in key]
    assert keys.duplicates(resources.root) in killed
    assert keys.data(resources.root, 1, 3) in killed  # being deleted
    assert tree(real) == whole


class Freezing(Store):
    """A store whose user is frozen before its n-th change, while another finalizes."""

    left = 0
    heir: Resources | None = None

    def change(self) -> None:
        Freezing.left -= 1
        if Freezing.left == -1 and Freezing.heir is not None:
            finalize(Freezing.heir, planned(Freezing.heir))

    def put(self, key: str, data: bytes) -> None:
        self.change()
        super().put(key, data)

    def put_first(self, key: str, data: bytes) -> bytes:
        self.change()
        return super().put_first(key, data)


@pytest.mark.parametrize("change", [0, 1, 2, 4, 5])
def test_a_thawed_finalizer_changes_nothing(tiny_checkpoint: Path, tmp_path: Path, change: int) -> None:
    heir, zombie = (opened(tmp_path / "store", tiny_checkpoint, fence) for fence in (2, 1))
    generated(heir, planned(heir), COPIES, (0, 1, 2))
    zombie.store = Freezing(zombie.store.objects)
    Freezing.left, Freezing.heir = change, heir
    manifest = finalize(zombie, planned(zombie))
    assert Freezing.left < 0
    assert manifest == heir.store.json(keys.manifest(heir.root))
    named = {f"{heir.root}/{file['path']}" for file in manifest["files"]}
    assert named == set(heir.store.keys(heir.root)) - {keys.manifest(heir.root)}
    assert manifest["counts"]["kept"] == len(rows.read_shards(heir.store, heir.root, planned(heir))) == 9


def refreshed(folder: Path, checkpoint: Path, copies: dict[int, int], per_class: int = 8) -> tuple[Resources, Plan]:
    """Version 2, of more images, whose planner carries all of version 1."""
    resources = opened(folder, checkpoint, 7, amount={"per_class": per_class})
    resources.number, resources.root = 2, keys.version("shoes", 2)
    base = open_base(resources.store, "shoes", 1)
    plan = make_refresh(resources.spec, "spec", resources.source, base)
    generated(resources, plan, copies, range(plan.generated_shards))
    return resources, plan


def test_what_repeats_a_carried_image_goes(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """Version 1 has nine images, of twelve; version 2 carries them, and of its own first repeats one."""
    made(tmp_path, tiny_checkpoint)
    resources, plan = refreshed(tmp_path, tiny_checkpoint, {12: 4, 13: 900, 15: 9})
    assert (plan.planned, plan.carried_samples, plan.generated_shards, plan.first) == (7, 9, 2, 12)
    assert all(part.whole for part in plan.carried)
    before = {key: text for key, text in tree(resources.store).items() if "/v1/" in key}
    manifest = finalize(resources, plan)
    dropped = rows.read_shards(resources.store, resources.root, plan, rejected=True)
    assert {row["index"]: row["reason"] for row in dropped} == {12: REASON, 15: REASON}
    assert (manifest["counts"]["kept"], manifest["counts"]["carried"]) == (5, 9)
    assert {key: text for key, text in tree(resources.store).items() if "/v1/" in key} == before


def test_a_carried_shard_is_compared_after_its_version_is_removed(tiny_checkpoint: Path, tmp_path: Path) -> None:
    made(tmp_path, tiny_checkpoint)
    resources, plan = refreshed(tmp_path, tiny_checkpoint, {12: 4})
    discard(resources.store, "shoes", 1, lambda: [2])
    manifest = finalize(resources, plan)
    assert manifest["counts"]["reasons"] == {REASON: 1}
    discard(resources.store, "shoes", 2, list)
    assert resources.store.keys("datasets") == []


def test_fingerprints_of_a_carried_shard_that_is_written_again_are_of_what_is_left(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    made(tmp_path, tiny_checkpoint)
    resources, plan = refreshed(tmp_path, tiny_checkpoint, {})
    part = replace(plan.carried[0], without=(3,), whole=False)
    changed = replace(plan, carried=(part, *plan.carried[1:]))
    report = rewrite_shard(resources, changed, plan.generated_shards, part)
    prints = StoredFingerprints.decode(resources.store.get(f"{resources.root}/{report['files']['fingerprints']['path']}"))
    assert prints.indices.tolist() == [0, 6, 9]


def test_without_the_filter_nothing_is_compared(tiny_checkpoint: Path, tmp_path: Path) -> None:
    resources = opened(tmp_path, tiny_checkpoint, filters=[{"type": "quality"}])
    generated(resources, planned(resources), COPIES, (0, 1, 2))
    assert finalize(resources, planned(resources))["counts"]["kept"] == 12
    assert not [key for key in resources.store.keys("") if "fingerprints" in key or "duplicates" in key]


def prints(hashes: dict[int, int], limits: tuple[float, float] = (3, np.inf), **embeddings: Any) -> StoredFingerprints:
    rows = np.array([embeddings.get(f"e{index}", []) for index in hashes], np.float16)
    values = np.array(list(hashes.values()), np.uint64)
    return StoredFingerprints(np.array(list(hashes)), values, rows, np.array(limits))


def gone(shards: dict[int, StoredFingerprints], generated: int = 10) -> dict[int, list[int]]:
    return {number: sorted(repeats) for number, repeats in Gallery(shards, generated).repeats().items()}


@pytest.mark.parametrize("block", [1, 2, 2**16])
def test_what_has_gone_stands_in_nobodys_way(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    """1 is near 0, and 2 near 1 but not near 0: 2 stays."""
    monkeypatch.setattr(duplicates, "BLOCK", block)
    assert gone({0: prints({0: 0b0}), 1: prints({1: 0b111}), 2: prints({2: 0b111111})}) == {1: [1]}


def test_images_of_one_shard_and_carried_ones_are_left_alone() -> None:
    """A shard has compared its own; what is carried has been published."""
    assert gone({0: prints({0: 0, 3: 0}), 1: prints({1: 2**60 - 1})}) == {}
    assert gone({1: prints({0: 0}), 2: prints({1: 0})}, generated=0) == {}
    assert gone({0: prints({5: 0}), 1: prints({1: 0}), 2: prints({2: 0})}, generated=1) == {0: [5]}


def test_embeddings_are_compared_where_the_filter_does() -> None:
    near = {"e0": [1, 0], "e1": [0.6, 0.8], "e2": [0.98, 0.199]}
    hashes = {0: 0, 1: 2**64 - 1, 2: 2**40 - 1}
    shards = {n: prints({n: value}, (3, 0.97), **near) for n, value in hashes.items()}
    assert gone(shards) == {2: [2]}
    scores = Gallery(shards, 10).repeats()[2][2]["scores"]
    assert scores == {"near_duplicate.to_others": 40, "near_duplicate.to_others_cosine": pytest.approx(0.98, abs=1e-3)}
