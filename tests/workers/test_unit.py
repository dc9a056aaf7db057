"""What a worker's process keeps from one version to the next."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.store import keys
from pipelines.store.canonical import canonical
from pipelines.version import rows
from pipelines.version.plan import read_plan
from service.settings import Settings
from service.state import datasets, events, leases, queue, versions
from service.state.database import Database
from service.state.tables import Version
from service.tenants import open_store
from tests.builders import document
from workers.heartbeat import Heartbeat
from workers.unit import Worker


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    settings = Settings(state_dir=tmp_path)
    database = Database.open(settings.database)
    database.create()
    return Worker(settings, database, "test", lambda: False)


def job(worker: Worker, **changes: Any) -> Any:
    """The job of a new version."""
    version = versions.create(worker.database, "team", "shoes", document(**changes))
    ((unit, _),) = [entry for entry in queue.next_units(worker.database) if entry[1] == "plan"][-1:]
    lease = leases.acquire(worker.database, unit, "test", 60)
    assert lease is not None
    return worker.job(version, Heartbeat(worker.database, lease, 60, lambda: False))


def test_models_stay_in_memory_for_the_next_version_that_names_the_same(worker: Worker) -> None:
    first, second = job(worker), job(worker, amount={"per_class": 9})
    assert second.resources.models is first.resources.models
    assert second.resources is not first.resources
    third = job(worker, models={"resolution": 48})
    assert third.resources.models is not first.resources.models


def test_a_unit_of_several_shards_reports_their_sum(
    worker: Worker, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.version.plan.UNITS", 2)
    worker.settings = worker.settings.model_copy(update={"model_roots": [tiny_checkpoint.parent]})
    models, method = {"text_to_image": str(tiny_checkpoint)}, {"type": "text_to_image", "steps": 1}
    version = versions.create(
        worker.database, "team", "shoes", document(models=models, method=method, amount={"per_class": 5}, shard_size=2)
    )
    while worker.run_next("cpu") or worker.run_next("gpu"):
        pass
    row = made(worker, version)
    assert row.state == "completed"
    assert row.unit_counts["generate"] == 3
    assert (row.counts["planned"], row.counts["kept"]) == (10, 10)
    reports = [event.data["report"] for event in events.list_after(worker.database, version, 0) if event.kind == "unit"]
    *units, whole = (report["kept"] for report in reports if "labels" in report)
    assert (sorted(units), whole) == ([2, 4, 4], 10)


def test_a_version_of_several_checkpoints_is_drawn_by_all(
    worker: Worker, tiny_checkpoint: Path, tiny_inpainting_checkpoint: Path
) -> None:
    paths = (tiny_checkpoint, tiny_inpainting_checkpoint)
    worker.settings = worker.settings.model_copy(update={"model_roots": [path.parent for path in paths]})
    further = [{"text_to_image": str(tiny_inpainting_checkpoint), "share": 0.5}]
    models = {"text_to_image": str(tiny_checkpoint), "further": further, "resolution": 32}
    changes = {"models": models, "method": {"type": "text_to_image", "steps": 1}, "amount": {"per_class": 6}}
    version = versions.create(worker.database, "team", "shoes", document(**changes, shard_size=4))
    while worker.run_next("cpu") or worker.run_next("gpu"):
        pass
    assert made(worker, version).state == "completed"
    store, root = open_store(worker.settings, "team"), keys.version("shoes", 1)
    plan = read_plan(store, root)
    assert plan is not None
    drawn = Counter(row["model"] for row in rows.read_shards(store, root, plan))
    assert sum(drawn.values()) == 12
    assert all(abs(drawn[str(path)] - 6) <= 2 for path in paths)


def test_a_version_starts_without_the_loras_of_the_one_before(worker: Worker, tiny_checkpoint: Path) -> None:
    models = {"text_to_image": str(tiny_checkpoint)}
    settings = {"rank": 2, "steps": 1, "batch": 2}
    worker.settings = worker.settings.model_copy(update={"model_roots": [tiny_checkpoint.parent]})
    first = job(worker, models=models, method={"type": "text_to_image", "lora": settings})
    first.learn()
    backbone = first.resources.models.backbone
    assert len(backbone.loras.indices) == 1
    second = job(worker, models=models)
    assert second.resources.models.backbone is backbone
    assert backbone.loras.indices == {}
    assert not [name for name, _ in backbone.denoiser.named_parameters() if "lora_" in name]


def evaluated(worker: Worker, checkpoint: Path, arms: Sequence[str] = ("erm", "text_to_image"), **changes: Any) -> int:
    """A new version of a tiny checkpoint with two arms and two seeds."""
    worker.settings = worker.settings.model_copy(update={"model_roots": [checkpoint.parent]})
    method = {"type": "text_to_image", "steps": 1}
    evaluation = {"arms": [*arms], "seeds": [0, 1]}
    settings = {"models": {"text_to_image": str(checkpoint)}, "method": method, "evaluation": evaluation, "shard_size": 4}
    return versions.create(worker.database, "team", "shoes", document(**settings, **changes))


def made(worker: Worker, version: int) -> Version:
    row = versions.get(worker.database, version)
    assert row is not None
    return row


def test_two_workers_share_an_evaluation(worker: Worker, tiny_checkpoint: Path) -> None:
    version = evaluated(worker, tiny_checkpoint)
    other = replace(worker, name="other")
    while made(worker, version).state != "evaluating":
        assert worker.run_next("cpu") or worker.run_next("gpu")
    while made(worker, version).state == "evaluating":
        assert worker.run_next("gpu")
        other.run_next("gpu")
    assert made(worker, version).state == "reporting"
    assert not other.run_next("gpu")
    assert other.run_next("cpu")
    assert made(worker, version).state == "completed"
    shown = [event.data for event in events.list_after(worker.database, version, 0) if event.kind == "unit"]
    units = [(data["report"].get("arm"), data["report"].get("seed")) for data in shown if data["stage"] == "evaluate"]
    arms = [(arm, seed) for arm in ("erm", "text_to_image") for seed in (0, 1)]
    assert sorted(units, key=str) == sorted([*arms, (None, None)], key=str)  # the last is the probe
    store, root = open_store(worker.settings, "team"), keys.version("shoes", 1)
    assert store.json(keys.evaluation(root))["arms"].keys() == {"erm", "text_to_image"}
    plan = read_plan(store, keys.plain(root))
    assert plan is not None
    assert len(rows.read_shards(store, keys.plain(root), plan)) == plan.planned == 10
    assert len(store.keys(f"{keys.plain(root)}/data")) == plan.shards, "the files that no report names are gone"


def test_a_first_version_that_harms_is_held_says_why_and_is_latest_once_promoted(
    worker: Worker, tiny_checkpoint: Path
) -> None:
    version = evaluated(worker, tiny_checkpoint, arms=["erm", "counterpoise"])
    store, root = open_store(worker.settings, "team"), keys.version("shoes", 1)
    while made(worker, version).state != "reporting":
        assert worker.run_next("cpu") or worker.run_next("gpu")
    job = worker.last[1] if worker.last else None
    assert job is not None
    evaluation = job.evaluate()
    always_right = {"mean": 1.0, "std": 0.0, "values": [1.0, 1.0]}
    never_right = {"mean": 0.0, "std": 0.0, "values": [0.0, 0.0]}
    for arm, accuracy in (("erm", always_right), ("counterpoise", never_right)):
        evaluation["arms"][arm] |= {"worst_group": accuracy, "average": accuracy}
    store.put(keys.evaluation(root), canonical(evaluation))
    assert worker.run_next("cpu")
    row = made(worker, version)
    assert row.state == "held"
    reason = versions.hold(worker.database, version)
    assert reason is not None
    assert "average accuracy 100.0 % → 0.0 %, 100.0 points below real data alone" in reason
    assert store.json(keys.report_file(root, "summary.json"))["held"] == reason
    dataset = datasets.find(worker.database, "team", "shoes")
    assert dataset is not None
    assert dataset.latest is None
    assert datasets.promote(worker.database, row)
    dataset = datasets.find(worker.database, "team", "shoes")
    assert dataset is not None
    assert (dataset.latest, made(worker, version).state) == (1, "completed")


def test_an_evaluation_that_an_older_release_planned_is_one_unit(worker: Worker, tiny_checkpoint: Path) -> None:
    version = evaluated(worker, tiny_checkpoint)
    assert worker.run_next("cpu")
    older = {name: count for name, count in made(worker, version).unit_counts.items() if name != "report"}
    with worker.database.write() as session:
        session.get_one(Version, version).unit_counts = {**older, "evaluate": 1}
    while worker.run_next("cpu") or worker.run_next("gpu"):
        pass
    assert made(worker, version).state == "completed"
    shown = [event.data for event in events.list_after(worker.database, version, 0) if event.kind == "unit"]
    assert [data["stage"] for data in shown][-2:] == ["finalize", "evaluate"]
    store, root = open_store(worker.settings, "team"), keys.version("shoes", 1)
    assert store.exists(keys.report_file(root, "report.html"))
    assert store.json(keys.evaluation(root))["arms"].keys() == {"erm", "text_to_image"}
