"""Thresholds from real images: the stated share of them passes, and no more than must."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import SourceError
from pipelines.filters import FILTERS
from pipelines.filters.calibration import (
    exclusive_lower_threshold,
    lower_threshold,
    share_of_each,
    upper_threshold,
    validation_candidates,
)
from tests.builders import candidate, flat, open_resources

SCORES = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]


@pytest.mark.parametrize(("share", "threshold"), [(1.0, 0.1), (0.9, 0.2), (0.5, 0.6), (0.05, 1.0)])
def test_a_share_reaches_the_threshold(share: float, threshold: float) -> None:
    assert lower_threshold(SCORES, share) == threshold
    assert sum(score > exclusive_lower_threshold(SCORES, share) for score in SCORES) >= share * len(SCORES)
    assert sum(score > lower_threshold(SCORES, share) for score in SCORES) < max(1, share * len(SCORES))


def test_a_share_stays_below() -> None:
    assert upper_threshold(SCORES, 0.9) == 0.9
    assert upper_threshold([0, 0, 0, 1], 0.75) == 0


def test_of_several_thresholds_each_lets_more_pass() -> None:
    assert share_of_each(0.9, 1) == pytest.approx(0.9)
    assert share_of_each(0.7, 3) == pytest.approx(0.9)


@pytest.mark.parametrize(
    "settings",
    [
        {"type": "quality"},
        {"type": "near_duplicate"},
        {"type": "near_duplicate", "similarity": 0.5},
        {"type": "label_agreement"},
        {"type": "clip_score", "classes": "images"},
        {"type": "rigid"},
        {"type": "diffusion_classifier", "samples": [2]},
        {"type": "entropy"},
    ],
    ids=str,
)
@pytest.mark.parametrize("share", [0.6, 0.95])
def test_each_filter_passes_the_stated_share_of_held_out_real_images(
    tmp_path: Path, settings: dict[str, Any], share: float
) -> None:
    resources = open_resources(
        tmp_path,
        source={"type": "spurious", "train": 60, "validation": 60, "test": 16},
        models={"resolution": 64},
        filters=[{**settings, "calibrate": share}],
    )
    (spec,) = resources.spec.filters
    each_filter = FILTERS[spec.type](resources, spec)
    real = validation_candidates(resources, spec.type)
    kept = [each_filter.judge([one])[0].kept for one in real]  # one by one: they are not compared with each other
    assert sum(kept) >= share * len(real) - 1e-9
    if settings["type"] != "near_duplicate":  # whose distances are whole bits, and often alike
        assert sum(kept) < len(real) or share == 0.95


def test_a_calibrated_filter_still_drops_what_is_unlike_real_images(tmp_path: Path) -> None:
    resources = open_resources(tmp_path, models={"resolution": 64}, filters=[{"type": "quality", "calibrate": 0.95}])
    (spec,) = resources.spec.filters
    assert FILTERS["quality"](resources, spec).judge([candidate(flat(side=64))])[0].reason == "blank"


def test_without_validation_images_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resources = open_resources(tmp_path, filters=[{"type": "quality", "calibrate": 0.9}])
    resources.source.splits["validation"].clear()
    (spec,) = resources.spec.filters
    with pytest.raises(SourceError, match=r"filters.quality.calibrate: the source has no validation images"):
        FILTERS["quality"](resources, spec).judge([candidate(flat())])
