"""The page: self-contained, safe, complete, and honest."""

import base64
import io
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from pipelines.report.headline import caveats, headline
from pipelines.report.page import DisplayedSample, Page, overlay, render
from pipelines.spec.base import duration

HOSTILE = '<script>alert("x")</script>'
VOID = {"meta", "img", "br", "hr", "link", "input"}
REASONS = {"quality: blurred": 3, "attribution: the painted class is not seen": 17, "near_duplicate: repeats": 1}


def spread(*values: float) -> dict[str, Any]:
    return {"mean": float(np.mean(values)), "std": float(np.std(values)), "values": list(values)}


def arm(*worst: float, average: float = 0.8) -> dict[str, Any]:
    return {"average": spread(average, average), "worst_group": spread(*worst), "groups": {"boot on grass": spread(*worst)}}


def by_class(*worst: float) -> dict[str, Any]:
    """Of images without groups."""
    accuracy = {"boot": spread(*worst), "sneaker": spread(0.9)}
    return {**arm(*worst), "groups": accuracy, "classes": accuracy}


def summary(**changes: Any) -> dict[str, Any]:
    return {
        "name": "shoes",
        "version": 3,
        "arms": {"erm": arm(0.40, 0.424), "counterpoise": arm(0.78, 0.798), "real_balanced": arm(0.88, 0.89)},
        "gap_closed": 0.79,
        "probe_auc": 0.58,
        "counts": {
            "planned": 40, "generated": 61, "kept": 40, "dropped": 21, "reasons": REASONS,
            "skipped": {"segmenter: nothing found": 2},
        },
        "seconds": {"total": 5130.0, "learn": 840.0, "generate": 2710.0, "train": 42.0},
        **changes,
    }  # fmt: skip


def shown(reason: str | None = None, **changes: Any) -> DisplayedSample:
    rng = np.random.default_rng(0)
    source = rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)
    mask = np.zeros((16, 16), dtype=np.bool_)
    mask[4:12, 4:12] = True
    sample = DisplayedSample(
        source, mask, source[::-1].copy(), "boot", "sneaker", reason is None, reason, {"quality.sharpness": 0.01234},
        "a photo of a <boot> shoe", "train/1.png",
    )  # fmt: skip
    return replace(sample, **changes)


def page(**changes: Any) -> Page:
    samples = [shown(), shown("quality: blurred")]
    return replace(
        Page("shoes, version 3", summary(), samples, {"<boot>": [(0, 1.0), (1, 0.5)]}, "name: shoes\n"), **changes
    )


class Reader(HTMLParser):
    """Checks the nesting; collects tags with attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {key: value or "" for key, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += f"{data} "


def read(page: Page) -> Reader:
    return Reader(render(page))


def test_page_asks_the_network_for_nothing() -> None:
    html = render(page())
    for tag, attributes in Reader(html).tags:
        assert tag not in ("script", "link", "iframe", "object", "base")
        for key, value in attributes.items():
            if key.endswith("href") or key in ("src", "srcset", "action", "poster"):
                assert value.startswith(("#", "data:image/png;base64,", "data:image/webp;base64,")), (tag, key, value)
    assert not re.search(r"@import|url\(\s*['\"]?(?!#)", html)
    assert html.count("http") == html.count("http://www.w3.org/") + html.count("http-equiv")


def test_every_image_has_words_and_small_ones_are_pixelated() -> None:
    reader = read(page())
    images = [attributes for tag, attributes in reader.tags if tag == "img"]
    assert len(images) == 6
    assert all(image["alt"] and image["class"] == "small" for image in images)
    assert all(attributes["aria-label"] for tag, attributes in reader.tags if tag == "svg")


def test_large_images_are_shrunk_and_not_pixelated() -> None:
    large = np.zeros((600, 300, 3), dtype=np.uint8)
    reader = read(page(samples=[shown(source=None, mask=None, generated=large)]))
    image = next(attributes for tag, attributes in reader.tags if tag == "img")
    picture = Pillow.open(io.BytesIO(base64.b64decode(image["src"].split(",")[1])))
    assert (picture.size, "class" in image) == ((128, 256), False)


def test_hostile_names_stay_text() -> None:
    hostile = shown(
        f"{HOSTILE}: why",
        label=HOSTILE,
        origin=f'" onload="{HOSTILE}',
        prompt=HOSTILE,
        id=HOSTILE,
        scores={f"{HOSTILE}.a": 1.0},
    )
    arms = {HOSTILE: {**arm(0.5), "groups": {HOSTILE: spread(0.5)}}, **summary()["arms"]}
    counts = {**summary()["counts"], "reasons": {f"{HOSTILE}: why": 1}, "skipped": {HOSTILE: 1}}
    reader = read(Page(HOSTILE, summary(arms=arms, counts=counts), [hostile], {HOSTILE: [(0, 1.0)]}, f"name: {HOSTILE}"))
    assert not [tag for tag, attributes in reader.tags if tag == "script" or "onload" in attributes]
    assert reader.text.count(HOSTILE) >= 10


def test_element_ids_are_unique() -> None:
    ids = [attributes["id"] for _, attributes in read(page()).tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_every_reason_is_shown_with_its_count() -> None:
    text = " ".join(read(page()).text.split())
    dropped = text[text.index("Dropped, and why") : text.index("What was learned")]
    assert "attribution: the painted class is not seen 17" in dropped
    assert "quality: blurred 3, 1 shown" in dropped
    assert "near_duplicate: repeats 1" in dropped
    assert dropped.index("attribution") < dropped.index("quality") < dropped.index("near_duplicate")
    assert "segmenter: nothing found 2" in text


def test_table_has_every_arm_measure_and_group() -> None:
    text = " ".join(read(page()).text.split())
    assert "Accuracy, % real images alone (ERM) + this version + as many real, balanced (ceiling)" in text
    assert "Worst group 41.2 ± 1.2 78.9 ± 0.9 88.5 ± 0.5" in text
    assert "boot on grass 41.2 ± 1.2" in text
    assert "total 1 h 26 min" in text


def test_page_without_evaluation_curves_or_sources() -> None:
    bare = shown(source=None, mask=None, origin=None)
    none = summary(arms={}, gap_closed=None, probe_auc=None)
    reader = read(page(summary=none, samples=[bare], curves={}))
    assert "40 images kept of 61 generated" in reader.text
    assert "What was learned" not in reader.text
    assert [attributes["alt"] for tag, attributes in reader.tags if tag == "img"] == ["Generated image of class boot"]


def test_a_learned_token_in_a_prompt_is_explained_once() -> None:
    prompts = ["a photo of a shoe", "a photo of a <rain boot> <rain boot>_1 <rain boot>_2 shoe", "one <rain boot> shoe"]
    text = read(page(samples=[shown(prompt=prompt) for prompt in prompts])).text
    assert text.count("In prompts, <rain boot> <rain boot>_1 <rain boot>_2 is a token learned from images") == 1
    assert "token learned from images" not in read(page(samples=[shown(prompt=prompts[0])])).text


def test_page_of_a_version_that_kept_nothing() -> None:
    counts = {"planned": 4, "generated": 0, "kept": 0, "dropped": 0, "reasons": {}, "skipped": {}}
    text = read(page(summary=summary(arms={}, counts=counts), samples=[])).text
    assert "No kept image to show." in text
    assert "Nothing was dropped." in text


def test_same_page_same_bytes() -> None:
    assert render(page()) == render(page())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "41.2 % → 78.9 %: 79 % of the gap between ERM and the ceiling in worst-group accuracy closed"),
        ({"gap_closed": 1.04}, ": the whole gap between ERM and the ceiling in worst-group accuracy closed"),
        ({"gap_closed": None}, ": 37.7 points better than real data alone"),
        (
            {"arms": {"erm": arm(0.5), "counterpoise": arm(0.3)}, "gap_closed": -0.4},
            "Generated data harms: worst-group accuracy 50.0 % → 30.0 %, 20.0 points below real data alone",
        ),
        ({"arms": {"erm": arm(0.4, 0.6), "counterpoise": arm(0.5, 0.6)}}, ": no clear effect, the seeds differ as much"),
        (
            {"arms": {"erm": arm(0.4), "counterpoise": arm(0.6)}, "test_images": {"boot": 5, "sneaker": 9}},
            ": no clear effect, it is about one image of 5",
        ),
        (
            {"arms": {"erm": arm(0.4), "counterpoise": arm(0.6)}, "gap_closed": None, "test_images": {"boot": 10}},
            ": 20.0 points better than real data alone",
        ),
        ({"arms": {"erm": arm(0.5), "counterpoise": arm(0.5)}}, "50.0 % → 50.0 %: no effect"),
        (
            {"arms": {"erm": by_class(0.4), "counterpoise": by_class(0.5)}, "gap_closed": None},
            "Worst-class accuracy 40.0 % → 50.0 %: 10.0 points better than real data alone",
        ),
        ({"arms": {"counterpoise": arm(0.5)}}, "Worst-group accuracy 50.0 %; training on real data alone was not evaluated"),
        (
            {"counts": {"kept": 0, "generated": 24}},
            "None of 24 generated images was kept, so there was nothing to train on beside real data",
        ),
        ({"arms": {"erm": arm(0.5)}}, "Not evaluated: 40 images kept of 61 generated"),
        ({"arms": {}, "counts": {"kept": 1, "generated": 1}}, "1 image kept of 1 generated"),
        ({"arms": {}, "counts": {"kept": 0, "generated": 0, "carried": 24}}, "24 images carried over, none generated"),
    ],
)
def test_headline_claims_no_more_than_was_measured(changes: dict[str, Any], said: str) -> None:
    assert headline(summary(**changes)).endswith(said)


def test_not_evaluated_is_no_headline_where_no_evaluation_was_asked_for() -> None:
    assert headline(summary(arms={})) == "40 images kept of 61 generated"


def test_caveats_name_what_speaks_against_the_headline() -> None:
    assert caveats(summary()) == []
    arms = {"erm": arm(0.4), "counterpoise": arm(0.5, average=0.7), "text_to_image": arm(0.6)}
    found = caveats(summary(arms=arms, probe_auc=0.9, test_images={"boot": 10}))
    assert [text.split()[0] for text in found] == ["Trained", "Plain", "Average", "A"]
    assert caveats(summary(notes=["Few images."])) == ["Few images."]


def test_overlay_tints_the_region_outlines_it_and_fades_the_rest() -> None:
    source = np.full((16, 16, 3), (0, 200, 0), dtype=np.uint8)
    mask = np.zeros((16, 16), dtype=np.bool_)
    mask[4:12, 4:12] = True
    before = source.copy()
    seen = overlay(source, mask)
    assert (source == before).all()
    outline = (seen == (255, 0, 170)).all(axis=2)
    assert (outline == (mask & ~np.pad(np.ones((6, 6), bool), 5))).all()
    assert seen[8, 8, 0] > 90
    assert np.ptp(seen[0, 0].astype(int)) < 60


@pytest.mark.parametrize(("seconds", "said"), [(41.6, "42 s"), (99.6, "2 min"), (3599, "1 h 00 min"), (11100, "3 h 05 min")])
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_reports_need_no_torch() -> None:
    check = "import sys, pipelines.report.card, pipelines.report.page; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_a_page_of_photographs_is_small() -> None:
    """Seventy-five at 512 pixels, each with its source and region."""
    side, rows = 512, np.linspace(0, 1, 512)
    scene = np.stack([np.outer(rows, rows), np.outer(rows, 1 - rows), np.outer(1 - rows, rows)], axis=2)
    grain = np.random.default_rng(0).normal(0, 0.02, (side, side, 3))
    photograph = ((scene + grain).clip(0, 1) * 255).astype(np.uint8)
    mask = np.zeros((side, side), bool)
    mask[100:300, 100:300] = True
    sample = replace(page().samples[0], source=photograph, mask=mask, generated=photograph, kept=True, reason=None)
    html = render(replace(page(), samples=[sample] * 75))
    assert len(html) < 4 * 2**20
    assert html.count("data:image/webp") == 225


def test_accuracy_by_shift_is_on_the_page_where_groups_are_known() -> None:
    points = [{"mean": value, "std": 0.0, "values": [value]} for value in (0.9, 0.4)]
    shift = {"intensities": [0.0, 0.95], "arms": {"erm": points, "counterpoise": points[::-1]}}
    html = render(page(summary=summary(shift=shift)))
    assert "What if the shortcut stops holding?" in html
    assert "real images alone (ERM): 90.0 % to 40.0 %; + this version: 40.0 % to 90.0 %" in html
    for without in (summary(), summary(shift=None)):
        assert "What if the shortcut" not in render(page(summary=without))
