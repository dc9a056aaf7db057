"""The difference of two confusion matrices, by hand; drawn whole where it is small, in its largest parts where it is not."""

from typing import Any

import pytest

from pipelines.report.conclusions import conclusions
from pipelines.report.confusion import MATRIX, PAIRS, confusion_change, most_changed
from pipelines.report.page import CLASSES, Page, render
from tests.report.test_harm import arm, summary

HOSTILE = "<script>alert(1)</script>"


def matrices(before: dict[str, dict[str, int]], after: dict[str, dict[str, int]]) -> dict[str, Any]:
    plain = arm((0.5, 0.5), (0.5, 0.5))
    return summary({**plain, "confusion": before}, {**plain, "confusion": after})


SMALL = matrices(
    {"boot": {"boot": 30, "bag": 10}, "bag": {"bag": 20}, "dress": {"dress": 6, "bag": 4}},
    {"boot": {"boot": 38, "dress": 2}, "bag": {"bag": 18, "boot": 2}, "dress": {"dress": 6, "bag": 4}},
)


def test_classes_gain_and_lose_by_the_share_of_their_test_images() -> None:
    changes = confusion_change(SMALL)
    assert changes is not None
    assert [(c.true, pytest.approx(c.change)) for c in changes.classes] == [("boot", 0.2), ("dress", 0.0), ("bag", -0.1)]
    assert [(c.true, c.predicted, pytest.approx(c.change)) for c in changes.pairs] == [
        ("boot", "bag", -0.25), ("bag", "boot", 0.1), ("boot", "dress", 0.05), ("dress", "bag", 0.0),
    ]  # fmt: skip
    assert [changes.cells[pair].colour for pair in (("boot", "boot"), ("boot", "bag"), ("bag", "boot"), ("bag", "bag"))] == [
        "up3", "up3", "down2", "down2",
    ]  # fmt: skip
    assert changes.cells[("dress", "bag")].colour == ""
    main = changes.main("boot")
    assert main is not None
    assert main.predicted == "bag"
    assert changes.main("dress") is None


def test_every_row_of_the_difference_sums_to_nothing() -> None:
    changes = confusion_change(SMALL)
    assert changes is not None
    for label in ("boot", "bag", "dress"):
        assert sum(change.change for (true, _), change in changes.cells.items() if true == label) == pytest.approx(0)


def test_without_a_matrix_of_both_there_is_none() -> None:
    assert confusion_change(matrices({}, {"boot": {"boot": 1}})) is None
    assert confusion_change({"arms": {"counterpoise": {"confusion": {"boot": {"boot": 1}}}}}) is None
    assert conclusions(matrices({}, {}))["confusion"] is None


def many(count: int) -> dict[str, Any]:
    """Each class loses a little more than the one before it, to the next."""
    names = [f"class {n:03d}" for n in range(count)]
    before = {name: {name: 1000} for name in names}
    after = {name: {name: 1000 - n, names[n - 1]: n} for n, name in enumerate(names)}
    return matrices(before, after)


def test_of_many_classes_the_pairs_that_changed_most_are_left() -> None:
    changes = confusion_change(many(200))
    assert changes is not None
    assert (len(changes.classes), len(changes.pairs), changes.cells) == (200, PAIRS, {})
    assert (changes.pairs[0].true, changes.pairs[0].predicted) == ("class 199", "class 198")
    chosen = most_changed(changes.classes, CLASSES)
    assert [chosen[0].true, chosen[-1].true, len(chosen)] == ["class 000", "class 199", CLASSES]
    html = render(Page("shoes, version 3", many(200), [], {}, "name: shoes\n"))
    assert "The confusions that change most." in html
    assert "class 199" in html
    assert "class 100" not in html


def test_a_small_matrix_is_drawn_whole_and_names_stay_text() -> None:
    html = render(Page("shoes, version 3", SMALL, [], {}, "name: shoes\n"))
    assert '<table class="matrix">' in html
    assert '<td class="up3">-25.0</td>' in html
    assert '<td class="down2">-10.0</td>' in html
    hostile = matrices({HOSTILE: {HOSTILE: 2}, "bag": {"bag": 2}}, {HOSTILE: {"bag": 2}, "bag": {"bag": 2}})
    html = render(Page("shoes, version 3", hostile, [], {}, "name: shoes\n"))
    assert HOSTILE not in html
    assert html.count("&lt;script&gt;") >= 3
    assert MATRIX >= 3


def test_programs_read_the_same_in_the_summary() -> None:
    said = conclusions(SMALL)
    assert said["confusion"]["classes"][0] == {
        "true": "boot", "predicted": "boot", "before": 0.75, "after": 0.95, "change": pytest.approx(0.2),
    }  # fmt: skip
    assert said["headline"].startswith("Worst-group accuracy")
    assert (said["harms"], said["advice"]) == ([], None)
