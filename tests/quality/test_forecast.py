"""Forecasts from previews: images that would help, images that would harm, and a real preview. Costs ten seconds.

What they are worth: `python -m tests.benchmarks.forecast`.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from pipelines.quality.features import Facts, Features
from pipelines.quality.forecast import Forecast, forecast
from pipelines.quality.probe_gain import Gain, Trial, accuracies
from pipelines.spec import FewShotSource, parse
from pipelines.store.object_store import Store
from pipelines.version.preview import preview
from pipelines.vision.models import Models
from tests.benchmarks.forecast import correlation
from tests.builders import CPU, document
from tests.quality.planted import World, world

FEW = FewShotSource(type="few-shot", classes=("t-shirt", "trousers", "bag"), shots=1, validation=120, test=8)
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def few() -> World:
    """One image of each class, and twenty rendered samples."""
    return world(FEW, 20)


def trial(few: World, samples: Features, **changes: Features) -> Trial:
    comparison = few.comparison
    return Trial(**{"train": comparison.train, "held_out": comparison.held_out, "samples": samples, **changes},
                 gammas=[1.0] * 3, seed=0)  # fmt: skip


def test_new_images_of_the_classes_help(few: World) -> None:
    probe = trial(few, few.comparison.measured)
    average, worst = probe.gains()
    assert average.low > 0.05
    assert average.low <= average.gain <= average.high
    assert worst.before <= average.before
    assert probe.agreement() > 0.8


def test_images_with_wrong_labels_harm(few: World) -> None:
    wrong = [replace(one, label=(one.label + 1) % 3) for one in few.comparison.measured.facts]
    held_out = few.comparison.held_out
    even, odd = (held_out[np.arange(start, len(held_out), 2)] for start in (0, 1))
    probe = trial(few, few.comparison.measured.with_facts(wrong), train=even, held_out=odd)
    assert probe.gains()[0].high < 0
    assert probe.agreement() < 0.2


def meaningless(count: int) -> Features:
    """Images with labels that mean nothing."""
    facts = [Facts(f"image-{n}", n % 2, None) for n in range(count)]
    return Features(facts, *(RNG.normal(size=(count, width)).astype(np.float32) for width in (32, 15, 192)))


def test_without_validation_images_nobody_is_tested_on_what_it_was_made_from() -> None:
    train = meaningless(50)
    copies = train.with_facts([replace(one, id=f"{n}-0", source=one.id) for n, one in enumerate(train.facts)])
    unknown = train.with_facts([replace(one, id=f"{n}-0") for n, one in enumerate(train.facts)])
    none = train[np.zeros(0, np.int64)]
    honest, fooled = (Trial(train, none, samples, [1.0, 1.0], 0).gains()[0].after for samples in (copies, unknown))
    assert honest < 0.75
    assert fooled > 0.95


def test_the_worst_kind_is_the_one_with_the_least_share_of_hits() -> None:
    right, kinds = np.array([True, True, False, True, False, False]), np.array([0, 0, 0, 2, 2, 2])
    assert accuracies(right, kinds) == pytest.approx([0.5, 1 / 3])


def test_a_preview_is_judged_and_forecast_and_leaves_nothing(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """Of an untrained checkpoint, whose images are no garments."""
    models = {"text_to_image": str(tiny_checkpoint), "resolution": 32}
    filters = [{"type": "quality", "calibrate": 0.9}, {"type": "near_duplicate"}]
    spec = parse(document(models=models, method={"type": "text_to_image", "steps": 2}, filters=filters))
    glance = preview(spec, Store.open(tmp_path), 8, Models(spec.models, CPU))
    result = forecast(glance)
    assert (result.images, result.planned, result.unjudged) == (8, 10, ["near_duplicate"])
    assert all(reason.startswith("quality: ") for reason in result.dropped)
    assert result.seconds > glance.seconds
    assert "Not judged by near_duplicate" in result.text
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    unfiltered = replace(glance, candidates=glance.candidates[:3])
    assert (forecast(unfiltered).average, forecast(unfiltered).direction) == (None, "unclear")


def test_a_forecast_in_words() -> None:
    gain, loss = Gain(0.5, 0.625, 0.01, 0.2), Gain(0.5, 0.25, -0.3, -0.1)
    one = Forecast(64, {"quality: blank": 4}, [], gain, loss, 0.9, 0.5, 0.4, 1000, 600.0, [])
    assert one.text.startswith(
        "60 of 64 images are kept. The version will probably help: with them, a linear probe's accuracy goes from 50.0 % to "
        "62.5 % (+1.0 to +20.0 points) on average, from 50.0 % to 25.0 % (-30.0 to -10.0 points) in the worst group."
    )
    assert one.text.endswith("The version's 1,000 images would take about 10 min at this pace.")
    assert replace(one, average=loss).direction == "loss"
    assert replace(one, average=replace(gain, low=-0.1)).direction == "unclear"


def test_the_benchmark_s_rank_correlation() -> None:
    true = RNG.normal(size=20)
    noisy = true + RNG.normal(size=20)
    figures = correlation(list(noisy), list(true))
    assert figures["rank_correlation"] == pytest.approx(spearmanr(noisy, true).statistic)
    assert figures["low"] < figures["rank_correlation"] < figures["high"] < 1
    assert correlation(list(np.exp(true)), list(true))["low"] == pytest.approx(1)
