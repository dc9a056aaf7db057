"""Two workers with one unit: the first is frozen past its lease, and thawed when the other is done. Ten seconds."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import load_dataset

from pipelines.engine.probe import Probe
from pipelines.engine.requests import RequestQueue
from pipelines.errors import SourceError
from pipelines.filters import Panel
from pipelines.job import Job
from pipelines.learning.resources import Resources
from pipelines.methods import open_method
from pipelines.progress import Silent, watched
from pipelines.records import Candidate, Problem
from pipelines.store import keys
from pipelines.store.object_store import Store
from pipelines.version import browse, rows
from pipelines.version.files import all_stored
from pipelines.version.finalize import finalize
from pipelines.version.plan import Plan
from pipelines.version.shard import publish, run_shards
from tests.builders import Painter, open_resources, spec
from tests.version.test_finalize import fill_template, planned, spoiled

ZOMBIE, HEIR = 1, 2


class OtherPainter(Painter):
    """On another GPU: one number of each image differs by one."""

    def batches(self, queue: RequestQueue, probe: Probe | None = None) -> Iterator[list[Candidate]]:
        for candidates in super().batches(queue, probe):
            for candidate in candidates:
                candidate.image[0, 0, 0] = np.bitwise_xor(candidate.image[0, 0, 0], 1)
            yield candidates


class Freezing(Store):
    """A store whose writer is frozen before a write to a key that holds some text, for as long as something else happens."""

    text = ""
    meanwhile: Callable[[], object] | None = None

    def freeze(self, key: str) -> None:
        if Freezing.meanwhile is not None and Freezing.text in key:
            meanwhile, Freezing.meanwhile = Freezing.meanwhile, None
            meanwhile()

    def put(self, key: str, data: bytes) -> None:
        self.freeze(key)
        super().put(key, data)

    def put_first(self, key: str, data: bytes) -> bytes:
        self.freeze(key)
        return super().put_first(key, data)


def frozen(resources: Resources, text: str, meanwhile: Callable[[], object]) -> Resources:
    Freezing.text, Freezing.meanwhile = text, meanwhile
    resources.store = Freezing(resources.store.objects)
    return resources


def worker(folder: Path, checkpoint: Path, fence: int) -> Resources:
    resources = open_resources(
        folder / "store",
        models={"text_to_image": str(checkpoint)},
        amount={"per_class": 6},
        shard_size=5,
        filters=[{"type": "quality"}],
    )
    resources.fence = fence
    return resources


def generate(resources: Resources, number: int, painter: Painter) -> dict[str, Any]:
    plan: Plan = planned(resources)
    return run_shards(resources, plan, [number], open_method(resources), painter, Panel(resources))[0]  # type: ignore[arg-type]


def tree(store: Store) -> dict[str, str]:
    return {key: hashlib.sha256(store.get(key)).hexdigest() for key in store.keys("")}


def consistent(resources: Resources, cache: Path) -> None:
    """The manifest tells the truth of every object, and each sample of the reports is loaded once."""
    store, root = resources.store, resources.root
    manifest = store.json(keys.manifest(root))
    for file in manifest["files"]:
        content = store.get(f"{root}/{file['path']}")
        assert (file["size"], file["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert {f"{root}/{file['path']}" for file in manifest["files"]} == set(store.keys(root)) - {keys.manifest(root)}
    pattern = str(cache.parent / "store" / root / "data/*.parquet")
    loaded = load_dataset("parquet", data_files=pattern, split="train", cache_dir=str(cache))
    kept = rows.read_shards(store, root, planned(resources))
    assert sorted(loaded["index"]) == sorted(row["index"] for row in kept)
    assert len(set(loaded["index"])) == len(kept) == manifest["counts"]["kept"] > 0


@pytest.mark.parametrize("write", ["data/", "rejected/", "reports/"])
def test_a_thawed_worker_leaves_the_version_as_its_heir_made_it(tiny_checkpoint: Path, tmp_path: Path, write: str) -> None:
    """Even where it is frozen between its last check and a write."""
    zombie, heir = (worker(tmp_path, tiny_checkpoint, fence) for fence in (ZOMBIE, HEIR))

    def succeed() -> None:
        fill_template(heir, OtherPainter(spoiled))
        finalize(heir, planned(heir))

    report = generate(frozen(zombie, write, succeed), 1, Painter(spoiled))
    assert Freezing.meanwhile is None
    assert report == heir.store.json(keys.report(heir.root, 1))
    files = all_stored(heir.store, heir.root, planned(heir))
    assert {file.rpartition("-")[2] for shard in files for file in shard.values()} == {"f2.parquet"}
    assert finalize(zombie, planned(zombie)) == heir.store.json(keys.manifest(heir.root))
    consistent(heir, tmp_path / "cache")
    page, _ = browse.page(heir.store, heir.root, browse.SampleFilter(), (0, 0), 100)
    assert (
        len(page)
        == len({sample["id"] for sample in page})
        == heir.store.json(keys.manifest(heir.root))["counts"]["generated"]
    )


def test_a_report_that_the_first_worker_has_still_written_is_the_heirs_too(tiny_checkpoint: Path, tmp_path: Path) -> None:
    zombie, heir = (worker(tmp_path, tiny_checkpoint, fence) for fence in (ZOMBIE, HEIR))
    report = generate(frozen(heir, "data/", lambda: generate(zombie, 0, Painter(spoiled))), 0, OtherPainter(spoiled))
    assert report["files"]["data"]["path"].endswith("-f1.parquet")
    assert [key for key in heir.store.keys("") if "-f2" in key] == []


def test_whoever_is_stopped_at_any_write_takes_its_files_away(tiny_checkpoint: Path, tmp_path: Path) -> None:
    resources = worker(tmp_path, tiny_checkpoint, ZOMBIE)
    steps = 0

    def check() -> None:
        nonlocal steps
        steps -= 1
        if steps < 0:
            raise KeyboardInterrupt

    for allowed in range(20):
        steps = allowed
        try:
            with watched(check):
                publish(resources, planned(resources), 0, {"data": b"kept", "rejected": b"dropped"}, {"shard": 0})
            break
        except KeyboardInterrupt:
            named = resources.store.keys(keys.reports(resources.root))
            assert named or resources.store.keys("") == []
    assert allowed >= 3
    assert len(resources.store.keys("")) == 3


WRITES = ["quality.json", "README.md", "figures/", "croissant.json", "manifest.json"]


@pytest.mark.parametrize("write", WRITES)
def test_a_thawed_finalizer_changes_nothing(tiny_checkpoint: Path, tmp_path: Path, write: str) -> None:
    """Not even one that would write something else, its source having changed meanwhile."""
    zombie, heir = (worker(tmp_path, tiny_checkpoint, fence) for fence in (ZOMBIE, HEIR))
    fill_template(heir, Painter(spoiled))
    zombie.source.problems.append(Problem("train/boot/bad.png", "damaged image; replace it"))
    trees = []

    def succeed() -> None:
        finalize(heir, planned(heir))
        trees.append(tree(heir.store))

    manifest = finalize(frozen(zombie, write, succeed), planned(zombie))
    assert trees == [tree(heir.store)]
    assert manifest == heir.store.json(keys.manifest(heir.root))
    consistent(heir, tmp_path / "cache")


@pytest.mark.parametrize("moment", ["quality.json", "manifest.json"])
def test_files_that_no_report_names_are_removed_or_at_least_not_named(
    tiny_checkpoint: Path, tmp_path: Path, moment: str
) -> None:
    """Of a worker that was killed; and of one that writes while the version is being published."""
    resources = fill_template(worker(tmp_path, tiny_checkpoint, HEIR), Painter(spoiled))
    orphans = [keys.data(resources.root, 0, 3, ZOMBIE), keys.rejected(resources.root, 0, 3, ZOMBIE)]

    def write() -> None:
        for key in orphans:
            Store(resources.store.objects).put(key, b"half")

    manifest = finalize(frozen(resources, moment, write), planned(resources))
    named = {f"{resources.root}/{file['path']}" for file in manifest["files"]}
    assert not named & set(orphans)
    assert resources.store.exists(orphans[0]) == (moment == "manifest.json")


def test_no_checkpoint_has_to_be_there_to_finalize(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """The card names the revision that the samples were generated with."""
    made = fill_template(worker(tmp_path, tiny_checkpoint, HEIR), Painter(spoiled))
    elsewhere = worker(tmp_path, tmp_path / "nowhere", HEIR)
    finalize(elsewhere, planned(made))
    assert elsewhere.loaded == []
    assert f"revision {made.painter_revision}" in made.store.get(keys.card(made.root)).decode()


def job(store: Store, fence: int, **changes: Any) -> Job:
    work = Job(spec(**changes), store, Silent())
    work.resources.fence = fence
    return work


CHANGED = {"source": {"type": "spurious", "train": 44, "validation": 16, "test": 16}}


def test_the_first_plan_wins(tmp_path: Path) -> None:
    """A planner is frozen before it writes each object; when it is thawed the source is another."""
    for number, name in enumerate(("source.json", "spec.json", "plan.json")):
        store, heir = Store.open(tmp_path / str(number)), []
        Freezing.text, Freezing.meanwhile = name, lambda: heir.append(job(store, HEIR).plan)  # noqa: B023
        zombie = job(Freezing(store.objects), ZOMBIE, **CHANGED)
        if name == "source.json":
            with pytest.raises(SourceError, match="has changed since this version was planned"):
                zombie.plan  # noqa: B018
            assert store.json(keys.plan(zombie.resources.root))["source"] == heir[0].source
        else:  # its source was there first
            with pytest.raises(SourceError, match="has changed since this version was planned"):
                zombie.plan  # noqa: B018
            assert heir == []
            assert not store.exists(keys.plan(zombie.resources.root))


def test_a_plan_is_read_by_all_others_and_refused_where_the_source_has_changed(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    plan = job(store, ZOMBIE).plan
    before = tree(store)
    assert job(store, HEIR).plan == plan
    with pytest.raises(SourceError, match="ask for a new version"):
        job(store, HEIR, **CHANGED).plan  # noqa: B018
    assert tree(store) == before
