"""Deliberate Practice by refreshes: the pool grows, and what is new is chosen by a judge that has learned from it. Ten
seconds."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipelines.engine.engine import Engine
from pipelines.filters.entropy import entropy
from pipelines.job import Job
from pipelines.learning.judges import joined
from pipelines.progress import Silent
from pipelines.source.decode import decode
from pipelines.store import keys
from pipelines.store.artifacts import learned_from
from pipelines.store.object_store import Store
from pipelines.version import rows
from pipelines.version.plan import read_plan
from pipelines.version.refresh import comparable
from pipelines.vision.classifier import probabilities
from tests.builders import spec

ROUNDS: list[dict[str, Any]] = [  # an even spread, then twice practice
    {"amount": {"per_class": 6}},
    {"amount": {"per_class": 10}, "filters": [{"type": "entropy", "top": 0.5}]},
    {"amount": {"per_class": 12}, "filters": [{"type": "entropy", "min_entropy": 0.001}]},
]
GUIDED = {"type": "text_to_image", "steps": 2, "guidance": 1, "entropy_guidance": 0.5}


def job(folder: Path, checkpoint: Path, number: int) -> Job:
    method: dict[str, Any] = {"type": "text_to_image", "steps": 2, "guidance": 1}
    asked = spec(
        source={"type": "spurious", "train": 40, "validation": 8, "test": 16},
        models={"text_to_image": str(checkpoint)},
        **{"method": GUIDED if number == 3 else method, **ROUNDS[number - 1]},
    )
    return Job(asked, Store.open(folder), Silent(), number, number - 1 or None)


@pytest.fixture(scope="module")
def rounds(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Job]:
    folder = tmp_path_factory.mktemp("practice")
    jobs = [job(folder, tiny_checkpoint, number) for number in (1, 2, 3)]
    for each in jobs:
        each.check()
        each.generate(range(each.plan.written_shards))
        each.finalize()
    return jobs


def samples(each: Job, *, rejected: bool = False) -> list[dict[str, Any]]:
    plan = read_plan(each.store, each.resources.root)
    assert plan is not None
    return rows.read_shards(each.store, each.resources.root, plan, rejected=rejected)


def test_the_pool_only_grows(rounds: list[Job]) -> None:
    pools = [{(row["index"], row["attempt"]): row["image"] for row in samples(each)} for each in rounds]
    assert pools[0].items() < pools[1].items() < pools[2].items()
    assert [each.plan.planned for each in rounds] == [12, 8, 24 - len(pools[1])]
    assert len(pools[0]) == 12


def test_what_is_new_is_chosen_by_a_judge_that_has_learned_from_the_pool(rounds: list[Job]) -> None:
    first, second, _ = rounds
    old = {(row["index"], row["attempt"]) for row in samples(first)}
    new = [row for row in [*samples(second), *samples(second, rejected=True)] if (row["index"], row["attempt"]) not in old]
    learner, view = second.resources.learner, second.resources.view
    images = [view.fit(decode(row["image"], allow_synthetic=True)) for row in new]
    values = entropy(probabilities(learner.scores(images)))
    scores = [json.loads(row["scores"])["entropy.nats"] for row in new]
    assert scores == pytest.approx(values.tolist(), abs=1e-4)
    plain = entropy(probabilities(second.resources.judge.scores(images)))
    assert not np.allclose(plain, values, atol=1e-4), "the plain judge is another"


def test_it_learns_from_the_real_images_and_those_that_are_carried(rounds: list[Job]) -> None:
    second = rounds[1].resources
    assert second.pool is not None
    pool, carried = second.pool.examples(), samples(rounds[0])
    assert [label for _, label in second.pool.facts] == list(pool.labels)
    for image, label, row in zip(pool.images, pool.labels, carried, strict=True):
        assert np.array_equal(image, second.view.fit(decode(row["image"], allow_synthetic=True), second.view.side))
        assert label == second.source.classes[row["label"]]
    real = second.view.examples("train", groups=False)
    both = joined(real, pool)
    assert len(both) == len(both.images) == 40 + 12
    assert np.array_equal(both.images[39], real.images[39])
    assert np.array_equal(both.images[-1], pool.images[-1])
    assert np.array_equal(both.images[38:42][2], pool.images[0])
    assert len(list(both.images)) == 52


def test_its_artifact_is_one_for_each_pool_and_names_the_source_images(rounds: list[Job]) -> None:
    first, second, third = (each.resources for each in rounds)
    assert first.learner is first.judge
    digests = [each.judge_artifact(each.learner_view).digest for each in (first, second, third)]
    assert len(set(digests)) == 3
    folders = learned_from(first.store, [first.source.splits["train"][0].sha256])
    assert sum("classifier" in folder for folder in folders) == len(
        [key for key in first.store.keys("concepts/classifier") if key.endswith("facts.json")]
    )
    again = Job(rounds[1].spec, second.store, Silent(), 2, 1)
    again.method  # noqa: B018  (which says what is carried)
    weights = [each.learner.last_layer.weight for each in (second, again.resources)]
    assert torch.equal(*weights)


def test_a_guided_round_leads_by_it_and_keeps_what_was_not_guided(rounds: list[Job]) -> None:
    third = rounds[2]
    assert isinstance(third.engine, Engine)
    assert third.engine.classifier is third.resources.learner
    assert third.store.json(keys.manifest(third.resources.root))["counts"]["carried"] == len(samples(rounds[1]))


def test_practice_makes_no_sample_invalid_and_other_filters_do() -> None:
    plain, practised = spec(), spec(filters=[{"type": "entropy"}], method={"type": "text_to_image", "entropy_guidance": 0.1})
    assert comparable(plain, practised)
    assert comparable(practised, plain)
    assert not comparable(plain, spec(filters=[{"type": "entropy"}, {"type": "quality"}]))
