"""The images of the plain arm, as a version of their own. Costs five seconds."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipelines.evaluation import plain
from pipelines.evaluation.plain import plain_samples
from pipelines.learning.resources import Resources
from pipelines.store import keys
from pipelines.version import rows
from pipelines.version.plan import read_plan
from tests.builders import open_resources

SIZES = Counter({"boot": 6, "sneaker": 3})


@dataclass
class Killed(Exception):
    shard: int


def opened(folder: Path, checkpoint: Path) -> Resources:
    models, method = {"text_to_image": str(checkpoint)}, {"type": "text_to_image", "steps": 1}
    return open_resources(folder, models=models, method=method, shard_size=3)


def samples(resources: Resources) -> list[dict[str, Any]]:
    root = keys.plain(resources.root)
    plan = read_plan(resources.store, root)
    assert plan is not None
    return rows.read_shards(resources.store, root, plan)


def test_killed_half_way_it_goes_on_where_it_was(
    tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calm, killed = opened(tmp_path / "calm", tiny_checkpoint), opened(tmp_path / "killed", tiny_checkpoint)
    for number in (5, 6):  # with a lease, shard by shard
        assert len(plain_samples(calm, SIZES, number).rows) == 9
    run_shards = plain.run_shards

    def die(resources: Resources, plan: Any, shards: range, *more: Any) -> Any:
        if 2 in shards:
            raise Killed(2)
        return run_shards(resources, plan, shards, *more)

    monkeypatch.setattr(plain, "run_shards", die)
    with pytest.raises(Killed):
        plain_samples(killed, SIZES, 3)
    root = keys.plain(killed.root)
    done = {key: killed.store.modified(key) for key in killed.store.keys(root) if "/reports/" in key}
    assert len(done) == 2
    monkeypatch.setattr(plain, "run_shards", run_shards)
    found = plain_samples(killed, SIZES, 4)
    assert {key: killed.store.modified(key) for key in done} == done, "what was done stays"
    assert Counter(killed.source.classes[row["label"]] for row in found.rows) == SIZES
    assert [row["image"] for row in samples(killed)] == [row["image"] for row in samples(calm)]
    assert [row["image"] for row in samples(killed)] == list(found.images())


def test_each_lease_begins_with_another_shard(
    tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first: list[int] = []

    def die(resources: Resources, plan: Any, shards: range, *more: Any) -> Any:
        first.extend(shards)
        raise Killed(shards[0])

    monkeypatch.setattr(plain, "run_shards", die)
    resources = opened(tmp_path, tiny_checkpoint)
    for fence in (3, 4, 5):
        with pytest.raises(Killed):
            plain_samples(resources, SIZES, fence)
    assert sorted(first) == [0, 1, 2]
