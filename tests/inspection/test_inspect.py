"""Faults that were planted are found, and a source without them has none. Twenty seconds."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from pipelines.inspection.findings import KINDS, SCHEMA_VERSION, Finding, Inspection, SplitItem
from pipelines.inspection.page import DISPLAYED, render
from tests.builders import picture, spec
from tests.inspection.planted import clean, grey, ids, inspected, opened, reencoded, swapped, written

HOSTILE = "<script>alert(1)<"


@pytest.fixture(scope="module")
def tidy() -> Inspection:
    return inspected(clean(100))


def test_a_clean_source_has_no_findings(tidy: Inspection) -> None:
    assert {kind: [f.text for f in tidy.of(kind)] for kind in KINDS if tidy.of(kind)} == {}
    assert tidy.classes["sneaker"] == {"train": 100, "validation": 10, "test": 20}


def test_copies_are_found_by_where_they_are(tmp_path: Path) -> None:
    root = written(tmp_path / "shoes", clean(30))
    train, test = root / "train/sneaker", root / "test/sneaker"
    (test / "leak.jpg").write_bytes(reencoded(train / "00001.png"))
    (test / "exact.png").write_bytes((train / "00002.png").read_bytes())
    (train / "again.jpg").write_bytes(reencoded(train / "00003.png", scale=1.0))
    (root / "train/trousers/sneaker.jpg").write_bytes(reencoded(train / "00004.png"))
    grey(train / "grey.png", 127)
    grey(test / "white.png", 255)
    PIL.Image.fromarray(picture(0, side=512)).save(train / "large.png")
    result = inspected(opened(root))
    assert result.of("leaks")[0].text.startswith("test/sneaker/exact.png: repeats train/sneaker/00002.png")
    assert ids(result.of("leaks")[1:]) == [{"train/sneaker/00001.png", "test/sneaker/leak.jpg"}]
    assert ids(result.of("copies"))[-1] == {"train/sneaker/00003.png", "train/sneaker/again.jpg"}
    assert ids(result.of("conflicts")) == [{"train/sneaker/00004.png", "train/trousers/sneaker.jpg"}]
    assert {name for images in ids(result.of("blank")) for name in images} == {
        "train/sneaker/grey.png",
        "test/sneaker/white.png",
    }
    assert ids(result.of("sizes")) == [{"train/sneaker/large.png"}]
    assert len(result.of("copies")) == 1


def test_most_wrong_labels_are_found_and_hardly_a_right_one_is_named(tmp_path: Path) -> None:
    """Of 5 % that were moved to the other class. Of the others the bundled CLIP doubts too little."""
    root = written(tmp_path / "shoes", clean(200))
    moved = swapped(root, 0.05)
    result = inspected(opened(root))
    named = {name for images in ids(result.of("labels")) for name in images}
    assert len(moved) == 20
    assert len(moved & named) >= 0.6 * len(moved)
    assert len(named - moved) <= 1
    assert all(finding.likely not in (None, finding.images[0].item.label) for finding in result.of("labels"))


def test_what_a_spec_needs_is_compared_with_what_there_is() -> None:
    method = {"type": "text_to_image", "superclass": "shoe", "inversion": {"steps": 5}}
    filters = [{"type": "quality", "calibrate": 0.99}]
    evaluation = {"arms": ["erm", "group_dro"]}
    result = inspected(clean(3), spec(method=method, filters=filters, evaluation=evaluation))
    texts = [finding.text for finding in result.of("classes")]
    assert "method.inversion: sneaker has 3 training images to learn from; add some, or leave it out" in texts
    assert [
        text for text in texts if text.startswith("filters.quality.calibrate: 0.99 of 20 validation images is all of them")
    ]
    assert not [text for text in texts if text.startswith("evaluation: sneaker")]  # twenty to test on suffice


class Page(HTMLParser):
    """The tags of a page, and what it links to."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_page_is_safe_whatever_a_class_is_called_and_fetches_nothing(tidy: Inspection) -> None:
    source = clean(100)
    item = replace(source.splits["train"][0], label=HOSTILE)
    finding = Finding("labels", f"{HOSTILE} in train", 0.9, (SplitItem("train", item),), HOSTILE)
    hostile = replace(tidy, source=HOSTILE, classes={HOSTILE: {"train": 1}}, findings=[finding], notes=[HOSTILE])
    html = render(hostile, lambda item: source.read(source.splits["train"][0]))
    page = Page()
    page.feed(html)
    assert "script" not in page.tags
    assert html.count("&lt;script&gt;") >= 5
    assert all(link.startswith(("data:image/", "#")) for link in page.sources)
    assert "default-src 'none'" in html


def test_the_page_of_many_findings_is_small_and_the_document_has_all(tidy: Inspection) -> None:
    item = clean(100).splits["train"][0]
    images = tuple(SplitItem("train", item) for _ in range(50))
    findings = [Finding(kind, f"{number}", float(number), images) for kind in KINDS for number in range(40)]
    many = replace(tidy, findings=findings)
    rows = np.linspace(0, 1, 400)
    scene = np.stack([np.outer(rows, rows), np.outer(rows, 1 - rows), np.outer(1 - rows, rows)], axis=2)
    photograph = ((scene + np.random.default_rng(0).normal(0, 0.02, scene.shape)).clip(0, 1) * 255).astype(np.uint8)
    html = render(many, lambda item: photograph)
    assert len(html) < 6 * 2**20
    assert html.count("data:image/") == len(KINDS) * DISPLAYED
    document = json.loads(json.dumps(many.document))
    assert document["schema_version"] == SCHEMA_VERSION
    assert set(document) == {"schema_version", "source", "classes", "settings", "counts", "findings", "notes"}
    assert [len(document["findings"][kind]) for kind in KINDS] == [40] * len(KINDS)
    assert set(document["findings"]["labels"][0]) == {"text", "severity", "likely", "images"}
    assert re.search(r"40 in all, the worst 16 here", html)
