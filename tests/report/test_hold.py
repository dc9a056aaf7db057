"""Which versions are held, and why; what may be chance, and what somebody may have wanted, is not. Takes no second."""

from typing import Any

import pytest

from pipelines.report.headline import caveats
from pipelines.report.hold import hold
from tests.report.test_harm import COUNTS, WORSE, arm, summary

GOOD, BAD = arm((0.6, 0.62), (0.8, 0.81)), arm((0.5, 0.52), (0.7, 0.71))
BETTER = summary(BAD, GOOD)


def test_a_first_version_that_is_worse_than_real_images_alone_is_held_and_says_why() -> None:
    reason = hold(WORSE, 0.05)
    assert reason == (
        "worst-group accuracy 61.0 % → 51.0 %, 10.0 points; average accuracy 80.5 % → 70.5 %, 10.0 points "
        "below real data alone"
    )
    assert caveats({**WORSE, "held": reason})[0] == f"Held, and not the latest version until somebody promotes it: {reason}."
    assert hold(BETTER, 0.05) is None
    assert hold(WORSE, None) is None, "without a margin none is held"


@pytest.mark.parametrize(
    "evaluation",
    [
        summary(arm((0.5, 0.7), (0.8, 0.8)), arm((0.45, 0.65), (0.8, 0.8))),  # within the spread
        summary(arm((0.6,), (0.8,)), arm((0.54,), (0.8,))),  # one seed, and within what a hundred images leave to chance
        summary(GOOD, BAD, counts={**COUNTS, "kept": 0}),  # nothing to train on: what is different is chance
        summary(arm((0.4, 0.42), (0.8, 0.81)), arm((0.6, 0.62), (0.7, 0.71))),  # the worst group rises for it
        {"arms": {"counterpoise": BAD}, "counts": COUNTS},  # real images alone were not evaluated
        {"arms": {}, "counts": COUNTS},
    ],
)
def test_what_is_not_worse_beyond_the_spread_or_not_compared_is_not_held(evaluation: dict[str, Any]) -> None:
    assert hold(evaluation, 0.05) is None


def test_an_average_that_falls_while_the_worst_group_stays_is_held_and_so_is_a_worst_group_whatever_the_average() -> None:
    for real, version in (((0.6, 0.8), (0.6, 0.7)), ((0.6, 0.7), (0.4, 0.8))):
        arms = [arm((worst,) * 2, (average,) * 2) for worst, average in (real, version)]
        assert hold(summary(*arms), 0.05) is not None


def test_a_refresh_is_held_against_the_latest_version_by_its_margin() -> None:
    refresh, latest = summary(arm((0.4, 0.4), (0.7, 0.7)), arm((0.6, 0.6), (0.8, 0.8))), {"arms": {"counterpoise": BAD}}
    assert hold(refresh, 0.05, latest) is None
    latest["arms"]["counterpoise"] = arm((0.7, 0.7), (0.8, 0.8))
    assert hold(refresh, 0.15, latest) is None
    assert hold(refresh, 0.05, latest) == (
        "worst-group accuracy 60.0 %, more than the margin of 5 points below the latest version's 70.0 %"
    )
    assert hold({"arms": {"erm": GOOD}, "counts": COUNTS}, 0.05, latest) is None
    assert hold(refresh, 0.05, {"arms": {"erm": GOOD}}) is None
