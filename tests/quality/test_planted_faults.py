"""Faults planted among rendered samples are found by their section, with the guilty images; in clean versions nothing is.

Costs half a minute: CLIP sees some two thousand images.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.builtin import wardrobe
from pipelines.builtin.render import render
from pipelines.builtin.world import draw
from pipelines.quality.comparison import Comparison
from pipelines.records import Image
from pipelines.source.readers.builtin import open_builtin
from pipelines.spec import FewShotSource, SpuriousSource
from tests.quality.planted import World, blurred, grainy, sections, tinted, world

FEW = FewShotSource(type="few-shot", classes=("t-shirt", "trousers", "bag", "sneaker"), shots=60, validation=120, test=120)
SHOES = FewShotSource(type="few-shot", shots=40, validation=90, test=90, seed=1)
SPURIOUS = SpuriousSource(type="spurious", train=200, validation=80, test=120, seed=2)
EACH = 60  # samples of a class
Rows = NDArray[np.int64]


@pytest.fixture(scope="module")
def few() -> World:
    return world(FEW, EACH)


def found(comparison: Comparison) -> dict[str, dict[str, Any]]:
    """The findings of each section by name, of sections with any."""
    parts = {name: {m["name"]: m for m in part["measures"] if m["found"]} for name, part in sections(comparison).items()}
    return {name: measures for name, measures in parts.items() if measures}


def guilty(measure: dict[str, Any], rows: Rows, first: int = 6) -> float:
    """The share of the first images that a measure names which are among the rows."""
    images = measure["images"][:first]
    return float(np.mean([image["id"] in {f"{row}-0" for row in rows} for image in images]))


def drawn(kind: str, count: int, scene: str) -> list[Image]:
    """Pictures of garments that no source uses, on one scene."""
    garments = wardrobe.for_sources().items[kind]
    factors = [draw(np.random.default_rng(n), kind, 1500 + n, scene=scene) for n in range(count)]
    return [render(one, garments[one.item]).image for one in factors]


def real(split: str, count: int) -> tuple[list[Image], list[str], list[str]]:
    """Real images of the source with their classes and ids."""
    source = open_builtin(FEW)
    items = source.splits[split]
    chosen = [items[row] for row in np.random.default_rng(3).permutation(len(items))[:count]]
    return [source.read(item) for item in chosen], [item.label for item in chosen], [item.id for item in chosen]


def test_nothing_is_found_in_a_clean_version(few: World) -> None:
    assert found(few.comparison) == {}


@pytest.mark.parametrize(("spec", "per_class"), [(SHOES, 60), (SPURIOUS, 100)])
def test_nor_in_others(spec: FewShotSource | SpuriousSource, per_class: int) -> None:
    assert found(world(spec, per_class).comparison) == {}


def test_a_class_that_collapsed(few: World) -> None:
    rows = np.arange(EACH, 2 * EACH)
    copies = few.changed(rows, [grainy(few.pixels[EACH + n % 2]) for n in range(EACH)])
    measure = found(copies)["unvaried"]["vendi_ratio"]
    assert min(measure["classes"], key=lambda name: measure["classes"][name]) == "trousers"
    assert "trousers" in measure["text"]
    assert guilty(measure, rows) == 1
    assert guilty(found(copies)["unvaried"]["repeats"], rows) == 1


def test_samples_that_repeat_others(few: World) -> None:
    """Two in a hundred, which hardly show in the variety of a class."""
    originals = few.some(5)
    rows = (originals + 1) % len(few.pixels)
    sections = found(few.changed(rows, [grainy(few.pixels[row]) for row in originals]))
    assert sections["unvaried"].keys() == {"repeats"}
    assert guilty(sections["unvaried"]["repeats"], np.concatenate([rows, originals]), 12) == 1


@pytest.mark.parametrize(("split", "name"), [("train", "copies"), ("test", "leaks")])
def test_one_percent_of_copies(few: World, split: str, name: str) -> None:
    """With a little grain, so that no hash would give them away. Beside each is the image that it repeats."""
    pixels, labels, ids = real(split, 3)
    rows = np.array([few.comparison.classes.index(label) * EACH + 7 + n for n, label in enumerate(labels)])
    sections = found(few.changed(rows, [grainy(image) for image in pixels]))
    assert sections.keys() == {"unoriginal"}
    measure = sections["unoriginal"][name]
    assert {(image["id"], image["beside"]["id"]) for image in measure["images"]} == {
        (f"{row}-0", identity) for row, identity in zip(rows, ids, strict=True)
    }


def test_what_was_painted_on_an_image_may_look_like_it_and_like_others_painted_on_it(few: World) -> None:
    """Six samples on two training images, from which they hardly differ: copies, unless they were painted on those."""
    pixels, _, ids = real("train", 2)
    rows = np.arange(6)
    same = few.changed(rows, [grainy(pixels[row % 2]) for row in rows])
    assert found(same)["unoriginal"]["copies"]["value"] == found(same)["unvaried"]["repeats"]["value"] == 6 / len(few.pixels)
    facts = list(same.measured.facts)
    for row in rows:
        facts[row] = replace(facts[row], source=ids[row % 2])
    painted = replace(same, measured=same.measured.with_facts(facts), repainted=True)
    assert found(painted).keys() & {"unoriginal", "unvaried"} == set()


def test_memorised_training_images(few: World) -> None:
    """A third of the samples are training images, mirrored: no copies pixel by pixel."""
    pixels, labels, _ = real("train", 80)
    free = {name: iter(range(n * EACH, (n + 1) * EACH)) for n, name in enumerate(few.comparison.classes)}
    rows = np.array([next(free[label]) for label in labels])
    measure = found(few.changed(rows, [image[:, ::-1].copy() for image in pixels]))["unoriginal"]["memorisation"]
    assert guilty(measure, rows) == 1


def test_five_percent_of_wrong_labels(few: World) -> None:
    rows, facts = few.some(12), list(few.comparison.measured.facts)
    for row in rows:
        facts[row] = replace(facts[row], label=(facts[row].label + 1) % 4)
    sections = found(replace(few.comparison, measured=few.comparison.measured.with_facts(facts)))
    assert sections.keys() == {"unrepresentative"}
    assert guilty(sections["unrepresentative"]["wrong_labels"], rows) > 0.5


def test_a_class_that_is_missing(few: World) -> None:
    present = {name: count for name, count in few.comparison.present.items() if name != "bag"}
    rest = few.comparison.measured[np.flatnonzero(few.comparison.measured.labels != few.comparison.classes.index("bag"))]
    sections = found(replace(few.comparison, measured=rest, present=present))
    assert sections.keys() == {"unrepresentative"}
    assert (
        sections["unrepresentative"]["class_share"]["text"] == "The version has 0 samples of bag, where 60 were asked for."
    )


def test_blur(few: World) -> None:
    every, part = np.arange(4 * EACH), few.some(60)
    assert found(few.altered(every, blurred))["unrealistic"].keys() == {"probe_auc", "striking"}
    measure = found(few.altered(part, blurred))["unrealistic"]["striking"]
    assert guilty(measure, part) == 1


def test_a_colour_cast(few: World) -> None:
    assert "probe_auc" in found(few.altered(np.arange(4 * EACH), tinted))["unrealistic"]


def test_a_class_that_is_always_on_one_scene(few: World) -> None:
    rows = np.arange(EACH)
    sections = found(few.changed(rows, drawn("t-shirt", EACH, "grass")))
    assert sections["unrepresentative"].keys() == {"shortcut"}
    measure = sections["unrepresentative"]["shortcut"]
    assert "t-shirt stands on grass" in measure["text"]
    assert guilty(measure, rows) == 1


def test_a_word_that_no_prompt_has(few: World) -> None:
    prompts = [f"a photo of a {colour} bag" for colour in ("red", "blue") for _ in range(20)]
    asked = replace(few.comparison, prompts=prompts, words={"colour": ("red", "blue", "pink")})
    assert found(asked)["unrepresentative"]["missing_words"]["text"] == "No sample was drawn with colour 'pink'."


def test_too_few_images_say_nothing_and_break_nothing(few: World) -> None:
    for rows in (np.zeros(0, np.int64), np.arange(1)):
        parts = sections(replace(few.comparison, measured=few.comparison.measured[rows], prompts=[]))
        assert not any(part["found"] for part in parts.values())


def test_a_source_without_groups_or_held_out_images_is_enough(few: World) -> None:
    none = few.comparison.train[np.zeros(0, np.int64)]
    facts = [replace(one, group=None) for one in few.comparison.train.facts]
    alone = replace(few.comparison, train=few.comparison.train.with_facts(facts), held_out=none)
    assert found(alone) == {}
    part = few.some(60)
    blur = replace(alone, measured=few.altered(part, blurred).measured)
    assert guilty(found(blur)["unrealistic"]["striking"], part) == 1
