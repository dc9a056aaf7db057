"""The curve of practice against an even spread: where it reaches an accuracy, and the ratio. No time at all."""

import pytest

from tests.benchmarks.practice import averaged, drawn, images_needed, ratios

EVEN = [(0.0, 0.4), (100.0, 0.5), (200.0, 0.6), (400.0, 0.7)]


def test_an_accuracy_is_reached_between_two_amounts_by_the_logarithm() -> None:
    assert images_needed(EVEN[1:], 0.6) == pytest.approx(200)
    assert images_needed(EVEN[1:], 0.65) == pytest.approx(200 * 2**0.5)
    assert images_needed(EVEN[1:], 0.3) == 100, "no fewer than were measured"
    assert images_needed(EVEN[1:], 0.8) is None


def test_practice_that_is_as_good_with_half_needs_half() -> None:
    rows = ratios(EVEN[1:], [(images / 2, accuracy) for images, accuracy in EVEN[1:]])
    assert [row["ratio"] for row in rows] == [0.5, 0.5]
    assert [row["ratio"] for row in ratios(EVEN[1:], EVEN[1:3])] == [1, None]


def test_an_accuracy_that_falls_again_counts_where_it_is_first_reached() -> None:
    rows = ratios([*EVEN[1:], (800.0, 0.6)], EVEN[1:])
    assert rows[-1]["even"] == pytest.approx(200)
    assert rows[-1]["ratio"] == 1


def test_the_curve_of_seeds_is_their_mean_and_is_drawn() -> None:
    assert averaged([[(10, 0.25), (20, 0.5)], [(12, 0.75), (20, 0.5)]]) == [(11, 0.5), (20, 0.5)]
    picture = drawn({"even": EVEN, "ranked": EVEN[1:]})
    assert picture.startswith("<svg")
    assert "even: 0 40.0 %, 100 50.0 %" in picture
