"""Pairs of images that differ in one word. Five seconds."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.engine.engine import Engine
from pipelines.errors import SpecError
from pipelines.methods import open_method
from pipelines.methods.counterfactual_pairs import chosen, swapped
from pipelines.records import Quota, Request
from pipelines.version.plan import Plan, make_plan
from tests.builders import open_resources, spec

COLOURS, PLACES = ["red", "blue", "green", "red"], ["on grass", "on brick"]
WORDS = {"templates": ["a photo of a {colour} {} {place}"], "words": {"colour": COLOURS, "place": PLACES}}
METHOD = {"type": "counterfactual_pairs", "swap": "colour", **WORDS}
PLAN = Plan("", "", (Quota("boot", None, 20), Quota("sneaker", None, 7)), 9)


def requests(folder: Path, attempt: int = 0) -> list[Request]:
    method = open_method(open_resources(folder, method=METHOD))
    every = [request for shard in range(3) for request in method.requests(PLAN.shard(shard), attempt)]
    return sorted(every, key=lambda request: request.index)


def test_a_pair_differs_in_the_swapped_word_alone(tmp_path: Path) -> None:
    """Across shards, and at every attempt, whose noise is another for both."""
    first, again = requests(tmp_path), requests(tmp_path, 1)
    assert [r.group_id for r in first[:4]] == ["00000000"] * 2 + ["00000002"] * 2
    assert [r.prompt for r in again] == [r.prompt for r in first]
    for made in (first, again):
        for pair in [*(made[n : n + 2] for n in range(0, 20, 2)), *(made[n : n + 2] for n in range(20, 27, 2))]:
            assert len({(r.seed, r.group_id, r.label) for r in pair}) == 1
            words = [r.prompt.split() for r in pair]
            different = [place for place, both in enumerate(zip(*words, strict=True)) if len(set(both)) > 1]
            assert different == ([4] if len(pair) == 2 else []), "a {colour}: the fifth word"
    assert first[-1].group_id == "00000026", "the seventh of a class is alone"
    seeds = {r.seed for r in first}
    assert len(seeds) == 10 + 4
    assert not seeds & {r.seed for r in again}
    assert {r.prompt.split()[4] for r in first} == {"red", "blue", "green"}


def test_the_other_word_is_never_the_same() -> None:
    words = ["red", "blue", "green"]
    pairs = {(chosen(words, seed), swapped(words, seed)) for seed in range(300)}
    assert pairs == {(a, b) for a in words for b in words if a != b}


def test_a_pair_is_more_alike_than_the_same_prompts_with_other_noise(tmp_path: Path) -> None:
    """On the bundled model."""
    resources = open_resources(tmp_path, models={}, method={**METHOD, "steps": 6, "guidance": 3})
    pairs = open_method(resources).requests([PLAN.image(index) for index in range(12)], 0)
    apart = [replace(request, index=100 + request.index, seed=request.seed + 1) for request in pairs[1::2]]
    images = {c.request.index: c.image.astype(float) for c in Engine(resources.models.backbone).run([*pairs, *apart])}
    within = [np.abs(images[n] - images[n + 1]).mean() for n in range(0, 12, 2)]
    control = [np.abs(images[n] - images[101 + n]).mean() for n in range(0, 12, 2)]
    assert min(within) > 0
    assert np.mean(within) < 0.9 * np.mean(control)


def test_a_word_is_swapped_on_a_real_image_with_a_strength_below_one(tmp_path: Path) -> None:
    """Both of a pair start from it; the images of a class are taken in turn. From noise, none is."""
    resources = open_resources(tmp_path, method={**METHOD, "strength": 0.5}, amount={"per_class": 6})
    method, plan = open_method(resources), make_plan(resources.spec, "", "", resources.source.counts)
    pairs = [method.requests([plan.image(index), plan.image(index + 1)], 0) for index in range(0, 12, 2)]
    assert [quota.origin for quota in plan.quotas] == ["boot", "sneaker"]
    for first, second in pairs:
        assert first.source is not None
        assert first.image is not None
        assert (first.source.label, first.strength, first.source) == (first.label, 0.5, second.source)
        assert np.array_equal(first.image, resources.view.images([first.source])[0])
    assert len({first.source for first, _ in pairs}) == 6
    plain = spec(method=METHOD, amount={"per_class": 6})
    assert [quota.origin for quota in make_plan(plain, "", "", resources.source.counts).quotas] == [None, None]
    assert {r.image is None for r in requests(tmp_path / "noise")} == {True}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"swap": "size"}, r"swap: words\.size must list two words or more, .* and it has 0"),
        ({"words": {"colour": ["red", "red"], "place": PLACES}}, r"swap: words\.colour must list two .* and it has 1"),
        ({"image_words": "by_clip"}, r"image_words: all words of one image go into a prompt, and swap changes one of them"),
        ({"templates": ["a {} {place}"]}, r"templates: 'a \{\} \{place\}' must say \{colour\}, the word that swap changes"),
    ],
)
def test_what_cannot_be_swapped_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        spec(method={**METHOD, **changes})


def test_a_filter_of_near_duplicates_would_part_the_pairs() -> None:
    with pytest.raises(SpecError, match=r"filters: near_duplicate drops one of two images .* leave it out"):
        spec(method=METHOD, filters=[{"type": "near_duplicate"}])
    spec(method=METHOD, filters=[{"type": "quality"}])
