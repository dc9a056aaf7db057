"""Planted shortcuts are the first suspects, a world without one has none, and groups are never read. A minute."""

import json
from dataclasses import replace

import pytest

from pipelines.builtin.checkpoints import resolve
from pipelines.discovery.discover import discover
from pipelines.discovery.exhibits import exhibits
from pipelines.discovery.page import render
from pipelines.discovery.study import Evidence, Study, study
from pipelines.discovery.suspects import SCHEMA_VERSION, Discovery
from pipelines.errors import SourceError
from pipelines.progress import SILENT
from pipelines.records import Item
from pipelines.source.source import Source
from pipelines.spec import Classifier
from pipelines.vision.clip import Clip
from tests.discovery.worlds import CLEAN, PLANTED, World, source
from tests.inspection.test_inspect import Page

HOSTILE = "<script>alert(1)<"
Discovered = tuple[Study, Discovery, dict[str, Evidence]]


class Blind(Item):
    """An image whose group nobody may read."""

    __slots__ = ()

    @property
    def group(self) -> str | None:  # type: ignore[override]
        raise AssertionError("a group label was read")

    @group.setter
    def group(self, value: str | None) -> None:
        pass


def blind(opened: Source) -> Source:
    splits = {
        split: [Blind(item.id, item.sha256, item.label, None) for item in items] for split, items in opened.splits.items()
    }
    return replace(opened, splits=splits)


def discovered(world: World) -> Discovered:
    looked = study(blind(source(world, train=200, held_out=60)), Classifier(steps=150, batch=32), SILENT, "cpu")
    clip = Clip(resolve("builtin", "clip"), "cpu")
    return looked, *discover(looked, clip, SILENT, name=HOSTILE, checkpoint="builtin")


@pytest.fixture(scope="module")
def shortcut() -> Discovered:
    return discovered(PLANTED[0])


def test_a_background_is_the_first_suspect_and_its_scenes_are_named(shortcut: Discovered) -> None:
    _, discovery, _ = shortcut
    first = discovery.named[0]
    assert first.attribute == "background"
    assert first.fall > 0.2
    assert set(first.words) <= {"boot", "sneaker"}
    own, other = (sum(c.train for c in first.clusters if (c.label == c.attribute_of) == same) for same in (True, False))
    assert own > 5 * other


def test_marks_on_the_border_are_no_background() -> None:
    assert [one.attribute for one in discovered(PLANTED[8])[1].named][:1] == ["border"]


def test_a_clean_world_has_no_suspect() -> None:
    _, discovery, _ = discovered(CLEAN[0])
    assert [one.attribute for one in discovery.named] == []
    assert discovery.accuracy > 0.7


def test_the_document_has_every_attribute(shortcut: Discovered) -> None:
    document = json.loads(json.dumps(shortcut[1].document))
    assert document["schema_version"] == SCHEMA_VERSION
    assert set(document) == {"schema_version", "source", "classes", "accuracy", "suspects", "settings", "notes"}
    assert {row["attribute"] for row in document["suspects"]} == {
        "background", "border", "colour", "position", "compression", "blur",
    }  # fmt: skip
    assert "spurious_removal" in document["suspects"][0]["next"]


def test_the_page_has_images_fetches_nothing_and_is_safe(shortcut: Discovered) -> None:
    looked, discovery, evidence = shortcut
    html = render(discovery, {"background": exhibits(looked, "background", evidence["background"])})
    page = Page()
    page.feed(html)
    assert "script" not in page.tags
    assert all(link.startswith(("data:image/", "#")) for link in page.sources)
    assert sum(link.startswith("data:image/") for link in page.sources) >= 20
    assert "default-src 'none'" in html
    assert "leans on background" in html


def test_too_few_images_are_refused_by_class() -> None:
    few = source(PLANTED[0], train=5, held_out=4)
    with pytest.raises(SourceError, match="boot has 5 training images, too few"):
        study(few, Classifier(steps=5), SILENT, "cpu")
