"""Entropy of the judge: its formula and ranks against scipy's, what is kept by rank and by threshold. Six seconds."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import entropy as scipy_entropy
from scipy.stats import rankdata

from pipelines.engine.engine import Engine
from pipelines.filters import Panel
from pipelines.filters.entropy import Entropy, entropy
from pipelines.learning.resources import Resources
from pipelines.methods import open_method
from pipelines.records import Candidate, Sample
from pipelines.spec import EntropyFilter
from pipelines.version import rows
from pipelines.version.plan import make_plan
from pipelines.version.shard import run_shards
from tests.builders import candidate, judge_shard, open_resources

SOURCE = {"type": "spurious", "train": 60, "validation": 40, "test": 60}


@pytest.fixture(scope="module")
def resources(tmp_path_factory: pytest.TempPathFactory) -> Resources:
    folder = tmp_path_factory.mktemp("store")
    return open_resources(folder, source=SOURCE, filters=[{"type": "entropy"}], classifier={"steps": 30, "batch": 16})


def real(resources: Resources) -> list[Candidate]:
    """Real test images as candidates."""
    items = resources.source.splits["test"]
    images = resources.view.images(items)
    return [candidate(image, index=n, label=items[n].label) for n, image in enumerate(images)]


def nats(sample: Sample) -> float:
    return sample.verdict.scores["entropy.nats"]


def expected(resources: Resources, candidates: list[Candidate]) -> np.ndarray[Any, Any]:
    """By scipy, of the judge's logits."""
    logits = resources.judge.scores([one.image for one in candidates]).double().numpy()
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(scipy_entropy(odds, axis=1))


def test_it_is_shannons() -> None:
    shares = np.random.default_rng(0).dirichlet(np.ones(5), size=20)
    shares[0], shares[1] = 0.2, (0, 1, 0, 0, 0)
    assert np.allclose(entropy(shares), scipy_entropy(shares, axis=1), atol=1e-12)
    assert entropy(shares)[:2] == pytest.approx([math.log(5), 0])


def test_the_half_that_the_judge_is_least_sure_of_is_kept_in_each_class(resources: Resources) -> None:
    candidates = real(resources)
    samples = judge_shard(Panel(resources), candidates)
    values = expected(resources, candidates)
    assert [nats(sample) for sample in samples] == pytest.approx(values.tolist(), abs=1e-5)
    for label in resources.source.classes:
        own = [n for n, one in enumerate(candidates) if one.request.label == label]
        ranks = rankdata(-values[own])
        assert [samples[n].verdict.kept for n in own] == (ranks <= math.ceil(len(own) / 2)).tolist()
    reasons = {sample.verdict.reason for sample in samples if not sample.verdict.kept}
    assert reasons == {f"entropy: not among the least certain of {label}" for label in resources.source.classes}


def test_a_threshold_judges_an_image_alone_and_none_is_ranked_then(resources: Resources) -> None:
    candidates = real(resources)
    values = expected(resources, candidates)
    limit = float(np.median(values))
    filter_ = Entropy(resources, EntropyFilter(type="entropy", min_entropy=limit))
    verdicts = filter_.judge(candidates)
    assert [verdict.kept for verdict in verdicts] == (values >= limit).tolist()
    assert {verdict.reason for verdict in verdicts if not verdict.kept} <= {
        f"the judge is sure of it, for a {label}" for label in resources.source.classes
    }
    assert filter_.spec.effective_top == 1
    assert EntropyFilter(type="entropy", min_entropy=limit, top=0.3).effective_top == 0.3


def test_a_calibrated_threshold_is_each_class_s_own(resources: Resources) -> None:
    filter_ = Entropy(resources, EntropyFilter(type="entropy", calibrate=0.25))
    examples = resources.view.validation
    held_out = [candidate(x, label=label) for x, label in zip(examples.images, examples.labels, strict=True)]
    kept = [verdict.kept for verdict in filter_.judge(held_out)]
    for label in resources.source.classes:
        own = [k for k, name in zip(kept, examples.labels, strict=True) if name == label]
        assert sum(own) == math.ceil(len(own) / 4)


def generated(folder: Path, checkpoint: Path, **changes: Any) -> dict[tuple[int, int], dict[str, Any]]:
    """All rows of a version, by index and attempt."""
    resources = open_resources(
        folder,
        source=SOURCE,
        models={"text_to_image": str(checkpoint)},
        method={"type": "text_to_image", "steps": 6, "guidance": 1},
        amount={"per_class": 30},
        shard_size=30,
        **changes,
    )
    plan, method, panel = (
        make_plan(resources.spec, "", "", resources.source.counts),
        open_method(resources),
        Panel(resources),
    )
    panel.learn(resources.source.classes)
    run_shards(resources, plan, range(2), method, Engine(resources.painter, 8), panel)  # type: ignore[arg-type]
    parts = [rows.read_shards(resources.store, resources.root, plan, rejected=rejected) for rejected in (False, True)]
    return {(row["index"], row["attempt"]): row for part in parts for row in part}


def test_an_early_verdict_ends_what_the_judge_will_be_sure_of(tiny_checkpoint: Path, tmp_path: Path) -> None:
    every = generated(tmp_path / "all", tiny_checkpoint, filters=[{"type": "entropy", "top": 1.0}])
    limit = float(np.median([json.loads(row["scores"])["entropy.nats"] for row in every.values()]))
    filters = [{"type": "entropy", "min_entropy": limit}]
    whole = generated(tmp_path / "whole", tiny_checkpoint, filters=filters)
    early = generated(
        tmp_path / "early", tiny_checkpoint, filters=filters, early_verdict={"at": 0.7, "loss": 0.1, "images": 20}
    )
    gone = {key for key, row in early.items() if row["reason"] == "entropy: early, by its nats"}
    lost = {key for key in gone if key in whole and whole[key]["reason"] is None}
    assert len(gone) >= 10
    assert len(lost) <= 0.25 * len(gone)
    assert all(json.loads(early[key]["scores"])["early.entropy.nats"] < limit for key in gone - lost)
