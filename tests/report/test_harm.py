"""When generated data harms, the first line of headline, page, card and terminal says so, and no sooner."""

from typing import Any

import numpy as np
import pytest

from pipelines.report.card import WARNING, card, evaluated
from pipelines.report.harm import deviation, harms
from pipelines.report.headline import caveats, headline
from pipelines.report.page import Page, render
from service.cli.output import print_summary
from tests.builders import spec

COUNTS: dict[str, Any] = {
    "planned": 40, "generated": 61, "kept": 40, "dropped": 21, "reasons": {"quality: blurred": 21}, "skipped": {},
    "labels": {"boot": 20, "sneaker": 20},
}  # fmt: skip


def spread(*values: float) -> dict[str, Any]:
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return {"mean": float(np.mean(values)), "std": deviation, "values": list(values)}


def arm(worst: tuple[float, ...], average: tuple[float, ...], **classes: tuple[float, ...]) -> dict[str, Any]:
    """Accuracies, one a seed; of each class 100 test images."""
    matrix = {
        label: {label: round(100 * sum(values)), "other": round(100 * (len(values) - sum(values)))}
        for label, values in classes.items()
    }
    figures = {label: spread(*values) for label, values in classes.items()}
    groups = {"boot on grass": spread(*worst)}
    return {
        "worst_group": spread(*worst),
        "average": spread(*average),
        "groups": groups,
        "classes": figures,
        "confusion": matrix,
    }


def summary(real: dict[str, Any], version: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "name": "shoes", "version": 3, "arms": {"erm": real, "counterpoise": version}, "gap_closed": None, "probe_auc": None,
        "counts": COUNTS, "seconds": {"total": 60.0}, "test_images": {"boot on grass": 100, "sneaker": 300}, **changes,
    }  # fmt: skip


WORSE = summary(arm((0.6, 0.62), (0.8, 0.81)), arm((0.5, 0.52), (0.7, 0.71)))
LINE = (
    "Generated data harms: worst-group accuracy 61.0 % → 51.0 %, 10.0 points; average accuracy 80.5 % → 70.5 %, 10.0 points "
    "below real data alone"
)


def test_the_headline_names_what_is_harmed_and_by_how_much() -> None:
    assert headline(WORSE) == LINE
    assert caveats(WORSE) == [], "the average stands in the headline already"


def test_a_better_worst_group_does_not_hide_a_worse_average() -> None:
    mixed = summary(arm((0.4, 0.42), (0.8, 0.81)), arm((0.6, 0.62), (0.7, 0.71)))
    assert headline(mixed) == (
        "Generated data harms: average accuracy 80.5 % → 70.5 %, 10.0 points below real data alone. "
        "Worst-group accuracy 41.0 % → 61.0 %: 20.0 points better than real data alone"
    )


@pytest.mark.parametrize(
    ("real", "version", "changes"),
    [
        (arm((0.5, 0.7), (0.8, 0.8)), arm((0.45, 0.65), (0.8, 0.8)), {}),  # within the spread
        (arm((0.6, 0.6), (0.8, 0.8)), arm((0.59, 0.59), (0.8, 0.8)), {}),  # one image of a hundred
        (arm((0.6,), (0.8,)), arm((0.54,), (0.8,)), {}),  # one seed, and within what a hundred images leave to chance
        (arm((0.6, 0.6), (0.8, 0.8)), arm((0.6, 0.6), (0.8, 0.8)), {}),
        (arm((0.6, 0.6), (0.8, 0.8)), arm((0.7, 0.7), (0.9, 0.9)), {}),
        (arm((0.6, 0.6), (0.8, 0.8)), arm((0.2, 0.2), (0.3, 0.3)), {"counts": {**COUNTS, "kept": 0}}),
    ],
)
def test_what_may_be_chance_is_no_harm(real: dict[str, Any], version: dict[str, Any], changes: dict[str, Any]) -> None:
    result = summary(real, version, **changes)
    assert harms(result) == []
    assert "harms" not in headline(result)


def test_one_seed_suffices_for_a_drop_that_the_test_images_cannot_explain() -> None:
    (harm,) = harms(summary(arm((0.6,), (0.8,)), arm((0.4,), (0.8,))))
    assert harm.text == "worst-group accuracy 60.0 % → 40.0 %, 20.0 points"
    assert deviation(spread(0.5), 100) == pytest.approx(0.05)
    assert deviation(spread(1.0), 98) == pytest.approx((0.99 * 0.01 / 98) ** 0.5)
    assert deviation(spread(0.5), 0) == 0


def test_a_class_that_loses_is_named_though_the_rest_gains() -> None:
    real, version = (
        arm((0.4, 0.4), (0.7, 0.7), boot=(0.9, 0.9), bag=(0.5, 0.5)),
        arm((0.6, 0.6), (0.7, 0.7), boot=(0.7, 0.7), bag=(0.7, 0.7)),
    )
    assert headline(summary(real, version)).startswith(
        "Generated data harms: class boot 90.0 % → 70.0 %, 20.0 points below real data alone. Worst-group accuracy"
    )


def test_of_many_classes_one_is_lower_by_chance() -> None:
    """What is significant of one class alone is not, where it is the worst of sixty."""
    before, after = (0.5, 0.5), (0.36, 0.36)
    others = {f"class_{n}": (0.5, 0.5) for n in range(59)}
    alone = summary(arm((0.5, 0.5), (0.5, 0.5), boot=before), arm((0.5, 0.5), (0.5, 0.5), boot=after))
    assert [harm.name for harm in harms(alone)] == ["class boot"]
    many = summary(arm((0.5, 0.5), (0.5, 0.5), boot=before, **others), arm((0.5, 0.5), (0.5, 0.5), boot=after, **others))
    assert harms(many) == []


def test_a_version_without_effect_is_seldom_taken_to_harm_a_class() -> None:
    """Of 300 versions of 20 classes, whose classifiers are all alike: at most 5 % name a class."""
    rng, named = np.random.default_rng(0), 0
    for _ in range(300):
        arms = [
            arm((0.5,) * 3, (0.5,) * 3, **{f"c{n}": tuple(rng.binomial(100, 0.8, 3) / 100) for n in range(20)})
            for _ in range(2)
        ]
        named += bool(harms(summary(*arms)))
    assert named <= 15


def test_the_first_line_of_page_card_and_terminal_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    page = render(Page("shoes, version 3", WORSE, [], {}, "name: shoes\n"))
    assert '<h1 class="harm">Generated data harms: worst-group accuracy' in page
    print_summary(WORSE)
    assert capsys.readouterr().out.startswith(f"{LINE}.\n")
    text = card(spec(), COUNTS, WORSE, ["boot", "sneaker"])
    after_title = text.split("# shoes\n")[1].strip()
    assert after_title.startswith(f"> **{LINE}.**")
    better = summary(arm((0.4, 0.42), (0.8, 0.81)), arm((0.6, 0.62), (0.8, 0.81)))
    assert "<h1>Worst-group accuracy" in render(Page("shoes, version 3", better, [], {}, "name: shoes\n"))


def test_a_card_that_was_published_first_gets_its_evaluation() -> None:
    asked = spec(evaluation={})
    published = card(asked, COUNTS, {}, ["boot", "sneaker"])
    assert "Measured once the version is published" in published
    measured = evaluated(published, asked, WORSE)
    assert measured == card(asked, COUNTS, WORSE, ["boot", "sneaker"])
    assert measured.index("harms") < measured.index(WARNING)


def test_the_headline_names_two_and_counts_the_rest() -> None:
    classes = {f"c{n}": (0.9, 0.9) for n in range(5)}
    lower = dict.fromkeys(classes, (0.3, 0.3))
    both = summary(arm((0.5, 0.5), (0.5, 0.5), **classes), arm((0.5, 0.5), (0.5, 0.5), **lower))
    assert headline(both).split(". ")[0] == (
        "Generated data harms: class c0 90.0 % → 30.0 %, 60.0 points; class c1 90.0 % → 30.0 %, 60.0 points; 3 more "
        "below real data alone"
    )
