"""What a worker's process keeps from one version to the next."""

from pathlib import Path
from typing import Any

import pytest

from service.settings import Settings
from service.state import events, leases, queue, versions
from service.state.database import Database
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
    made = versions.get(worker.database, version)
    assert made is not None
    assert made.state == "completed"
    assert made.unit_counts["generate"] == 3
    assert (made.counts["planned"], made.counts["kept"]) == (10, 10)
    reports = [event.data["report"] for event in events.list_after(worker.database, version, 0) if event.kind == "unit"]
    *units, whole = (report["kept"] for report in reports if "labels" in report)
    assert (sorted(units), whole) == ([2, 4, 4], 10)


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
