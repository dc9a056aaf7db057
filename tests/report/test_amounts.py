"""One sentence of advice: how many generated images are enough, by curves worked out by hand."""

from typing import Any

import pytest

from pipelines.report.amounts import CLASSES, advice, class_rows
from pipelines.report.page import Page, render
from tests.report.test_harm import arm, spread, summary


def point(share: float, worst: tuple[float, ...], average: tuple[float, ...], images: int = 4000) -> dict[str, Any]:
    return {
        "share": share, "images": round(share * images), "ratio": share * images / 8000, **arm(worst, average, boot=average),
    }  # fmt: skip


def evaluation(*points: dict[str, Any]) -> dict[str, Any]:
    result = summary(points[0], points[-1])
    return {**result, "amounts": {"real": 8000, "points": list(points)}}


def curve(*worst: float, average: float = 0.8, jitter: float = 0.005) -> dict[str, Any]:
    """Two seeds, at evenly spaced amounts; the average is the same at each."""
    shares = [n / (len(worst) - 1) for n in range(len(worst))]
    return evaluation(
        *(
            point(s, (w - jitter, w + jitter), (average - jitter, average + jitter))
            for s, w in zip(shares, worst, strict=True)
        )
    )


@pytest.mark.parametrize(
    ("result", "text", "enough"),
    [
        (curve(0.4, 0.6, 0.7, 0.705, 0.7), "2,000 (0.25 for each real image) are enough: more does nothing.", (2000, 0)),
        (
            curve(0.4, 0.5, 0.6, 0.7, 0.8),
            "Worst-group accuracy still rises at 4,000 (0.5 for each real image): make more.",
            (4000, 0),
        ),
        (curve(0.4, 0.41, 0.4, 0.4, 0.41), "Generated images do nothing here: the real ones alone are as good.", (0, 0)),
        (
            curve(0.4, 0.7, 0.8, 0.7, 0.6),
            "2,000 (0.25 for each real image) do best: with all 4,000, worst-group accuracy falls, 80.0 % → 60.0 %.",
            (2000, 0),
        ),
        (
            curve(0.6, 0.7, 0.65, 0.5, 0.4),
            "All 4,000 generated images harm: train on 1,000 (0.12 for each real image).",
            (1000, 0),
        ),
        (
            curve(0.6, 0.55, 0.5, 0.45, 0.4),
            "Generated images harm: train without them, and change how they are made or filtered.",
            (0, 0),
        ),
        (
            curve(0.4, 0.6),
            "4,000 (0.5 for each real image) help; whether fewer would do was not measured: add evaluation.amounts, such as "
            "[0.25, 0.5].",
            (4000, 0),
        ),
    ],
)
def test_the_advice_follows_from_the_curve(result: dict[str, Any], text: str, enough: tuple[int, int]) -> None:
    assert advice(result) == {"text": text, "enough": dict(zip(("worst_group", "average"), enough, strict=True))}


def test_the_spread_of_the_best_decides_what_does_as_well() -> None:
    """0.75 is within the spread of 0.8 where its seeds differ by 0.15, and not where they differ by 0.02."""
    for seeds, enough in (((0.725, 0.875), 2000), ((0.79, 0.81), 4000)):
        points = [point(0, (0.4, 0.4), (0.8, 0.8)), point(0.5, (0.75, 0.75), (0.8, 0.8)), point(1, seeds, (0.8, 0.8))]
        advised = advice(evaluation(*points))
        assert advised is not None
        assert advised["enough"]["worst_group"] == enough


def test_an_image_more_or_less_is_no_rise() -> None:
    points = [point(s, (w, w), (0.8, 0.8)) for s, w in ((0, 0.5), (0.5, 0.69), (1, 0.7))]
    advised = advice(evaluation(*points))
    assert advised is not None
    assert advised["enough"]["worst_group"] == 2000


def test_a_harmed_class_stands_beside_the_advice() -> None:
    points = [point(s, (w, w), (0.8, 0.8)) for s, w in ((0, 0.4), (0.5, 0.7), (1, 0.7))]
    points[0] |= arm((0.4, 0.4), (0.8, 0.8), boot=(0.9, 0.9))
    points[2] |= arm((0.7, 0.7), (0.8, 0.8), boot=(0.6, 0.6))
    advised = advice(evaluation(*points))
    assert advised is not None
    assert advised["text"].endswith("more does nothing. But they harm class boot 90.0 % → 60.0 %, 30.0 points.")


def test_there_is_no_advice_without_images_or_figures() -> None:
    assert advice(summary(arm((0.4,), (0.8,)), arm((0.4,), (0.8,)))) is None
    assert advice({**curve(0.4, 0.6), "amounts": None}) is None
    assert advice(evaluation(*(point(s, (0.4,), (0.8,), images=0) for s in (0, 1)))) is None


def test_of_many_classes_those_that_change_most_have_a_row() -> None:
    names = [f"class {n}" for n in range(CLASSES + 5)]
    points = [{"classes": {name: spread(0.5 + step * n / 100) for n, name in enumerate(names)}} for step in (0, 1)]
    assert list(class_rows(points)) == names[5:]
    assert class_rows([]) == {}


def test_the_page_answers_how_many() -> None:
    html = render(Page("shoes, version 3", curve(0.4, 0.6, 0.7, 0.705, 0.7), [], {}, "name: shoes\n"))
    for part in (
        "How many do I need?",
        "are enough: more does nothing.",
        'aria-label="Accuracy by amount. 0 generated',
        ">3,000<",
    ):
        assert part in html
    plain = render(Page("shoes, version 3", summary(arm((0.4,), (0.8,)), arm((0.5,), (0.8,))), [], {}, "name: shoes\n"))
    assert "How many do I need?" not in plain
