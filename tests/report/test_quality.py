"""The quality report as the page displays it: findings with their images, figures, and nothing that could do harm."""

import re
from typing import Any

import numpy as np

from pipelines.quality.measures import Beside, Guilty, Measure, section
from pipelines.quality.pictures import wanted
from pipelines.quality.yields import changes, yields
from pipelines.records import Image
from pipelines.report.embedding_map import EmbeddingMap
from pipelines.report.page import Page, render
from pipelines.report.quality import GUILTY, number, questions, summary_lines
from tests.report.test_map_picture import some_map

HOSTILE = '<script>alert("x")</script>'
COUNTS = {"generated": 8, "kept": 4, "carried": 0, "planned": 4, "dropped": 4, "skipped": {},
          "reasons": {"quality: blurred": 3, "quality: blank": 1}}  # fmt: skip
SUMMARY = {"arms": {}, "counts": COUNTS, "gap_closed": None, "probe_auc": None, "seconds": {"total": 1.0}}


def copies(count: int = 1) -> Measure:
    images = [Guilty(f"{n}-0", "boot", 0.1, "near", Beside("train", f"train/{n}.png", "boot")) for n in range(count)]
    return Measure("copies", "Some samples repeat training images.", count / 10, 0.0, 0.0, images=images)


def report(*measures: Measure) -> dict[str, Any]:
    part = section(measures, "No sample repeats a real image.")
    images = {"samples": 20_000, "measured": 10_000, "train": 100, "held_out": 50}
    return {"clip": "builtin", "images": images, "sections": {"unoriginal": part}, "notes": [],
            "yield": yields(COUNTS, {"generate": 2.0}), "changes": None}  # fmt: skip


def pictures(document: dict[str, Any]) -> dict[tuple[str, str], Image]:
    return {place: np.zeros((8, 8, 3), np.uint8) for place in wanted(document, GUILTY)}


def page(document: dict[str, Any], drawn: EmbeddingMap | None = None) -> str:
    return render(Page("shoes", SUMMARY, [], {}, "", document, pictures(document), drawn))


def test_a_finding_shows_some_of_its_images_beside_what_they_repeat() -> None:
    html = page(report(copies(GUILTY + 2)))
    assert "Some samples repeat training images." in html
    assert html.count('<div class="beside">') == GUILTY
    assert html.count("training image of boot") == 2 * GUILTY  # as caption, and in words for who sees no images
    assert "No sample repeats" not in html


def test_where_nothing_is_found_no_image_is_shown() -> None:
    html = page(report(copies(0)))
    assert "No sample repeats a real image." in html
    assert '<div class="beside">' not in html
    assert "Share that nearly repeats training images" in html


def test_a_measure_is_a_finding_beyond_its_limit_alone() -> None:
    values = [(0.5, 0.4, False), (0.3, 0.4, False), (0.3, 0.4, True), (None, 0.4, True), (0.3, None, False)]
    measures = [Measure("recall", "", value, limit=limit, below=below) for value, limit, below in values]
    assert [measure.found for measure in measures] == [True, False, True, False, False]
    assert [measure["found"] for measure in section(measures, "")["measures"]] == [True, False, True, False, False]


def test_measures_that_speak_of_the_same_images_display_them_once() -> None:
    html = page(report(copies(), Measure("leaks", "And these, too.", 1.0, limit=0.0, images=copies().images)))
    assert "And these, too." in html
    assert html.count('<div class="beside">') == 1


def test_names_from_elsewhere_stay_text() -> None:
    guilty = Guilty("0-0", HOSTILE, 1.0, HOSTILE, Beside("train", HOSTILE, HOSTILE))
    html = page(report(Measure(HOSTILE, HOSTILE, 1.0, 0.0, 0.0, images=[guilty])))
    assert "<script" not in html
    assert html.count("&lt;script&gt;") >= 4


def test_what_a_sample_took_and_of_how_many_images_it_speaks() -> None:
    lines = summary_lines(report(copies()))
    assert "10,000 of 20,000 samples, beside 100 training images and 50 held-out ones" in lines[0]
    assert lines[1] == "A sample took 2.00 candidates and 0.5 seconds; quality dropped 50 %."
    assert yields(COUNTS, {})["filters"]["quality"]["reasons"] == {"blurred": 3, "blank": 1}


def test_nothing_generated_takes_nothing() -> None:
    nothing = yields({"generated": 0, "kept": 0, "reasons": {}}, {"generate": 3.0})
    assert (nothing["candidates_per_sample"], nothing["filters"]) == (None, {})


def test_what_is_otherwise_than_before() -> None:
    document = report(copies(2))
    document["changes"] = changes(document, report(copies(1)))
    same = {"candidates_per_sample": 2.0, "quality_dropped": 0.5}
    assert document["changes"] == {
        "copies": {"before": 0.1, "after": 0.2},
        **{name: {"before": value, "after": value} for name, value in same.items()},
    }
    assert summary_lines(document)[-1] == "Since the version before: Share that nearly repeats training images 0.1 → 0.2."


def test_what_a_sample_took_may_be_otherwise_than_before() -> None:
    counts = {**COUNTS, "generated": 16, "reasons": {"quality: blank": 4, "clip_score: unlike": 8}}
    document = {**report(), "yield": yields(counts, {})}
    document["changes"] = changes(document, report())
    assert document["changes"]["clip_score_dropped"] == {"before": 0.0, "after": 0.5}
    assert summary_lines(document)[-1] == (
        "Since the version before: Share that the filter quality dropped 0.5 → 0.25; Share that the filter clip_score "
        "dropped 0 → 0.5; Candidates of a sample 2 → 4."
    )


def test_an_image_that_is_gone_is_left_out() -> None:
    (question,) = questions(report(copies(1)), {})
    assert (question.found, question.findings[0].images, number(None)) == (True, [], "-")


def test_where_it_could_not_be_made_the_page_says_why() -> None:
    document = {**report(), "images": {}, "sections": {}, "notes": ["Not measured: models.clip: no such checkpoint"]}
    assert "Not measured: models.clip: no such checkpoint" in page(document)


def test_the_map_is_drawn_with_how_many_images_it_draws() -> None:
    assert '<svg class="map"' not in page(report())
    html = page(report(), some_map())
    assert html.count('<svg class="map"') == 1
    text = " ".join(re.sub("<[^>]+>", "", html).split())
    assert "Of kept 20 of 900, dropped 20 of 30, real 20 of 20." in text
    assert "<script" not in html
