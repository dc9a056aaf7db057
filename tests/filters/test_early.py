"""Early verdicts: what is lost by them in expectation, what they end, and a version with them and without. Ten seconds."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.engine.engine import Engine
from pipelines.filters import Panel
from pipelines.filters.early import EarlyVerdicts, calibrated, ended, verdict
from pipelines.learning.resources import Resources
from pipelines.methods import open_method
from pipelines.store import keys
from pipelines.version import rows
from pipelines.version.plan import make_plan
from pipelines.version.shard import run_shards
from tests.builders import candidate, flat, noise, open_resources

TARGET, ORIGIN = "label_agreement.target", "label_agreement.origin"


def drawn(count: int, better: float, chance: np.random.Generator) -> list[dict[str, float]]:
    return [{TARGET: better + target, ORIGIN: -better + origin} for target, origin in chance.normal(size=(count, 2))]


@pytest.mark.parametrize("loss", [0.05, 0.2])
def test_no_more_than_the_share_of_the_loss_is_lost_in_expectation(loss: float) -> None:
    chance, lost, power = np.random.default_rng(0), list[float](), list[float]()
    for _ in range(200):
        thresholds = calibrated(drawn(60, 1.5, chance), drawn(60, -1.5, chance), loss)
        lost.append(ended(drawn(500, 1.5, chance), thresholds) / 500)
        power.append(ended(drawn(500, -1.5, chance), thresholds) / 500)
    assert loss / 2 < np.mean(lost) < loss * 1.1
    assert np.mean(power) > 0.8


def test_where_too_few_are_kept_or_nothing_is_told_apart_nothing_is_ended() -> None:
    chance = np.random.default_rng(0)
    assert calibrated(drawn(18, 3, chance), drawn(60, -3, chance), 0.05) == {}
    assert calibrated(drawn(19, 3, chance), drawn(60, -3, chance), 0.05) != {}
    assert calibrated(drawn(60, 0, chance), drawn(60, 0, chance), 0.05) == {}
    assert calibrated(drawn(95, 3, chance), drawn(5, -3, chance), 0.05) == {}, "what is dropped seldom is not looked for"
    assert calibrated([], [], 0.05) == {}


def test_a_score_ends_an_image_on_its_bad_side_alone_and_one_that_is_missing_does_not() -> None:
    thresholds = {TARGET: 0.4, ORIGIN: 0.6}
    assert verdict({TARGET: 0.3, ORIGIN: 0.1}, thresholds).reason == "label_agreement: early, by its target"
    assert verdict({TARGET: 0.5, ORIGIN: 0.7}, thresholds).reason == "label_agreement: early, by its origin"
    assert verdict({TARGET: 0.5, ORIGIN: 0.7}, thresholds).scores == {f"early.{ORIGIN}": 0.7}
    assert verdict({TARGET: 0.4, ORIGIN: 0.6}, thresholds).kept
    assert verdict({}, thresholds).kept


def opened(folder: Path, checkpoint: Path, contrast: float = 0.03, **changes: Any) -> Resources:
    return open_resources(
        folder,
        models={"text_to_image": str(checkpoint)},
        method={"type": "text_to_image", "steps": 6, "guidance": 1},
        amount={"per_class": 30},
        shard_size=30,
        filters=[{"type": "quality", "min_contrast": contrast, "min_sharpness": 0, "max_saturated": 1}],
        **changes,
    )


def generated(resources: Resources) -> tuple[list[dict[str, Any]], dict[tuple[int, int], dict[str, Any]]]:
    """Reports, and all rows by index and attempt."""
    plan = make_plan(resources.spec, "spec", "source", resources.source.counts)
    engine = Engine(resources.painter, 8)  # type: ignore[arg-type]
    reports = run_shards(resources, plan, range(2), open_method(resources), engine, Panel(resources))
    both = [
        row
        for rejected in (False, True)
        for row in rows.read_shards(resources.store, resources.root, plan, rejected=rejected)
    ]
    return reports, {(row["index"], row["attempt"]): row for row in both}


def test_a_version_with_early_verdicts_and_without(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """What was ended would have been dropped, but for few; everything else is the same, and so is a second run."""
    early = {"at": 0.7, "loss": 0.1, "images": 20}
    first = opened(tmp_path / "contrasts", tiny_checkpoint)
    contrasts = [json.loads(row["scores"])["quality.contrast"] for row in generated(first)[1].values()]
    limit = float(np.median(contrasts))
    _, without = generated(opened(tmp_path / "without", tiny_checkpoint, limit))
    resources = opened(tmp_path / "with", tiny_checkpoint, limit, early_verdict=early)
    reports, with_early = generated(resources)
    gone = {key for key, row in with_early.items() if row["reason"] == "quality: early, by its contrast"}
    lost = {key for key in gone if key in without and without[key]["reason"] is None}
    assert len(gone) >= 10
    assert len(lost) <= 0.2 * len(gone)
    assert all("early.quality.contrast" in with_early[key]["scores"] for key in gone)
    for key in without.keys() & with_early.keys() - gone:
        assert without[key]["reason"] == with_early[key]["reason"]
    assert sum(report["reasons"].get("quality: early, by its contrast", 0) for report in reports) == len(gone)
    assert all(report["generated"] == report["kept"] + report["dropped"] for report in reports)
    _, again = generated(opened(tmp_path / "again", tiny_checkpoint, limit, early_verdict=early))
    assert again == with_early


def test_the_first_calibration_that_is_stored_is_everybodys(tiny_checkpoint: Path, tmp_path: Path) -> None:
    resources = opened(tmp_path, tiny_checkpoint, 0.1, early_verdict={"images": 19})
    spec, panel = resources.spec.early_verdict, Panel(resources)
    assert spec is not None
    probe, other = EarlyVerdicts(resources, spec, panel), EarlyVerdicts(resources, spec, panel)
    seen = [candidate(noise(n) if n < 25 else flat(), index=n) for n in range(40)]
    assert all(v.kept for v in probe.look(seen) + other.look(seen[:30]))
    probe.learn(panel.judge(seen))
    other.learn(panel.judge(seen[:30]))
    stored = resources.store.json(keys.early_verdict(resources.root))
    assert probe.thresholds == other.thresholds == stored["thresholds"] != {}
    assert stored["kept"]["images"] + stored["dropped"]["images"] == 40
    later = EarlyVerdicts(resources, spec, panel)
    assert [v.kept for v in later.look(seen)] == [n < 25 for n in range(40)]
