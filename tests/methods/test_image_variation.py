"""Variations: of a class's own images alone, at every strength that was asked for, and only where they may change."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from pipelines.engine.engine import Engine
from pipelines.errors import SourceError, SpecError
from pipelines.learning.resources import Resources
from pipelines.methods import open_method
from pipelines.records import PlannedImage, Request
from pipelines.vision.recent_images import RecentImages
from tests.builders import open_resources, spec
from tests.methods.test_methods import asked, slots

SHOTS = {"type": "few-shot", "shots": 2, "validation": 12, "test": 12}
VARIATION = {"type": "image_variation", "superclass": "shoe", "steps": 4}


def few(tmp_path: Path, checkpoint: Path | None = None, per_class: int = 12, **changes: Any) -> Resources:
    models = {"text_to_image": str(checkpoint), "segmenter": "cross-attention"} if checkpoint else {}
    method = {**VARIATION, **changes}
    return open_resources(tmp_path, source=SHOTS, models=models, method=method, amount={"per_class": per_class})


def made(resources: Resources) -> list[Request]:
    return asked(resources)


def test_k_shots_mean_k_images_of_the_class_itself(tmp_path: Path) -> None:
    """The images of a class are varied in turn, each as often; no other image of the source is ever read."""
    resources = few(tmp_path)
    read: set[str] = set()
    source = resources.source
    resources.view.recent = RecentImages(lambda item: (read.add(item.id), source.read(item))[1])
    used: Counter[str] = Counter()
    for slot, request in zip(slots(resources), made(resources), strict=True):
        assert request.source is not None
        assert request.source.label == request.label == slot.label == slot.origin
        used[request.source.id] += 1
    shots = {item.id for item in resources.source.splits["train"]}
    assert read == set(used) == shots
    assert set(used.values()) == {6}


def test_strengths_are_stacked_and_follow_from_the_seed(tmp_path: Path) -> None:
    resources = few(tmp_path, per_class=60)
    first, again = made(resources), made(resources)
    assert [r.strength for r in first] == [r.strength for r in again]
    counts = Counter(r.strength for r in first)
    assert set(counts) == {0.25, 0.5, 0.75, 1.0}
    assert min(counts.values()) > len(first) / 8
    assert [r.strength for r in first] != [r.strength for r in asked(resources, 1)]


@pytest.mark.parametrize(
    ("repaint", "strength", "whole", "known"),
    [("object", 1.0, 0, True), ("object", 1.0, 1, False), ("whole", 0.5, 0, True), ("whole", 1.0, 0, False)],
)
def test_a_variation_has_its_images_group_as_long_as_something_of_its_surroundings_is_left(
    tmp_path: Path, repaint: str, strength: float, whole: float, known: bool
) -> None:
    method = {**VARIATION, "repaint": repaint, "strengths": [strength], "whole": whole}
    resources = open_resources(tmp_path, source=SHOTS, method=method, models={}, amount={"per_class": 2})
    for request in made(resources):
        assert request.source is not None
        assert (request.source.group is not None) == known


def test_words_of_ones_own_are_drawn_for_each_image(tmp_path: Path) -> None:
    said = {"templates": ["a {colour} {}"], "words": {"colour": ["red", "blue"]}}
    counts = Counter(request.prompt.replace(request.label, "shoe") for request in made(few(tmp_path, **said)))
    assert set(counts) == {"a red shoe", "a blue shoe"}


def test_without_a_token_a_class_is_said_by_its_name(tmp_path: Path) -> None:
    for request in made(few(tmp_path)):
        assert (request.prompt, request.concept) == (f"a photo of a {request.label}", None)


def test_with_a_token_it_is_learned_from_all_shots_without_a_judge(tmp_path: Path, tiny_checkpoint: Path) -> None:
    resources = few(tmp_path, tiny_checkpoint, inversion={"vectors": 2, "images": 4, "steps": 1, "masked": False})
    for request in made(resources):
        assert request.prompt == f"a photo of a <{request.label}> <{request.label}>_1 shoe"
        assert request.concept is not None
        assert resources.store.exists(request.concept)
    assert "judge" not in vars(resources)


def test_object_and_surroundings_are_each_others_complement(tmp_path: Path, tiny_checkpoint: Path) -> None:
    first = made(few(tmp_path / "a", tiny_checkpoint, repaint="object"))
    second = made(few(tmp_path / "b", tiny_checkpoint, repaint="surroundings"))
    for one, other in zip(first, second, strict=True):
        assert one.source is not None
        assert other.source is not None
        assert one.source.id == other.source.id
        assert one.mask is not None
        assert other.mask is not None
        assert np.array_equal(one.mask, ~other.mask)
        assert one.mask.any()


WORDS = {"templates": ["a {colour} {}"], "words": {"colour": ["red", "blue"]}}
ALTERED = {"repaint": "surroundings", "strengths": [1], "grow": 0, "recolour": "colour", "move": True, **WORDS}


def test_an_object_that_is_kept_has_the_colour_that_its_prompt_says_and_another_place(tmp_path: Path) -> None:
    resources = few(tmp_path, **ALTERED)
    first, again, other = asked(resources), asked(resources), asked(resources, 1)
    places = set()
    for request, same, tried in zip(first, again, other, strict=True):
        assert request.source is not None
        assert request.graft is not None
        assert request.mask is not None
        assert request.mask.all(), "all but the object is another"
        (own,) = resources.view.object_masks([request.source], "shoe")
        assert own is not None
        assert request.graft.item.id == request.source.id
        assert request.graft.mask.sum() == own.sum()
        red, _, blue = request.graft.image[request.graft.mask].astype(int).mean(axis=0)
        assert (red > blue) == ("red" in request.prompt)
        assert same.graft is not None
        assert np.array_equal(same.graft.image, request.graft.image)
        assert tried.graft is not None
        places |= {tuple(np.argwhere(one.mask)[0]) for one in (request.graft, tried.graft)}
    assert len(places) > len(first)


def test_surroundings_are_painted_up_to_the_object_that_was_put_there(tmp_path: Path) -> None:
    """On the bundled inpainting twin: the object is as it was given, and nothing of the old surroundings is left."""
    models = {"inpainting": "builtin-inpainting"}
    resources = open_resources(
        tmp_path, source=SHOTS, models=models, method={**VARIATION, **ALTERED}, amount={"per_class": 2}
    )
    for candidate in Engine(resources.painter).run(asked(resources)):  # type: ignore[arg-type]
        graft = candidate.request.graft
        assert graft is not None
        assert candidate.request.image is not None
        inner = binary_erosion(graft.mask, iterations=2)
        assert np.abs(candidate.image[inner].astype(int) - graft.image[inner]).max() <= 8  # what is left of the soft edge
        assert (candidate.image == candidate.request.image).all(axis=2)[~graft.mask].mean() < 0.2


def test_a_share_of_the_images_is_repainted_whole_in_any_run_of_a_class(tmp_path: Path) -> None:
    made = asked(few(tmp_path, per_class=40, **ALTERED, whole=0.25))
    for start in range(0, len(made), 20):
        part = made[start : start + 20]
        assert sum(request.graft is None for request in part) in (4, 5, 6)
    assert all(request.mask is not None and request.mask.all() for request in made)
    sources = [{r.source.id for r in made if r.source and (r.graft is None) == whole} for whole in (True, False)]
    assert sources[0] == sources[1], "every image of the source is there in both ways"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {**ALTERED, "repaint": "object"},
            r"recolour: repaint: object keeps no object to alter; set repaint to surroundings",
        ),
        ({"repaint": "whole", "move": True}, r"move: repaint: whole keeps no object to alter"),
        (
            {**ALTERED, "strengths": [0.5]},
            r"move: strengths \[0.5\] leave a trace of where the object was; set them to \[1\]",
        ),
        ({**ALTERED, "recolour": "paint"}, r"recolour: words.paint must list the colours; add it, or name another of words"),
        ({**ALTERED, "words": {"colour": ["red", "rusty"]}}, r"recolour: 'rusty' is no CSS colour; name one, such as red"),
        (
            {**ALTERED, "image_words": "by_clip"},
            r"image_words: all words of one image go into a prompt, and recolour draws one",
        ),
        ({"whole": 0.5}, r"whole: 0.5 is a share beside images of which a part is repainted; set repaint"),
    ],
)
def test_what_cannot_be_kept_or_altered_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        spec(method={**VARIATION, **changes})


def test_a_weak_variation_is_nearer_to_its_image_than_a_strong_one(tmp_path: Path) -> None:
    """On the bundled model: the strength is how far a variation may go."""
    resources = few(tmp_path, strengths=[0.25, 1.0], steps=8, guidance=2)
    engine, far = Engine(resources.models.backbone), dict[float, list[float]]()
    for candidate in engine.run(made(resources)):
        assert candidate.request.image is not None
        change = np.abs(candidate.image.astype(int) - candidate.request.image).mean()
        far.setdefault(candidate.request.strength, []).append(float(change))
    assert np.mean(far[0.25]) < 0.5 * np.mean(far[1.0])


def test_an_object_that_is_nowhere_found_asks_for_another_word(
    tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resources = few(tmp_path, tiny_checkpoint, repaint="object")
    monkeypatch.setattr(resources.view, "object_masks", lambda items, word: [None] * len(items))
    with pytest.raises(
        SourceError, match=r"'cross-attention' looked at \d images? of class 'sandal' and found no 'shoe'; choose"
    ):
        open_method(resources).learn()


def test_an_image_without_the_object_is_skipped_and_counted(
    tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resources = few(tmp_path, tiny_checkpoint, repaint="object")
    lost = resources.source.of("boot")[0].id
    seen = resources.view.object_masks
    monkeypatch.setattr(
        resources.view,
        "object_masks",
        lambda items, word: [None if i.id == lost else m for i, m in zip(items, seen(items, word), strict=True)],
    )
    method = open_method(resources)
    method.learn()
    assert [(problem.id, problem.reason) for problem in method.skipped] == [(lost, "no shoe found")]
    sources = [request.source for request in method.requests([PlannedImage(n, "boot", "boot", n) for n in range(4)], 0)]
    assert {source.id for source in sources if source} == {item.id for item in resources.source.of("boot")} - {lost}


def test_an_even_spectrum_varies_every_image_at_each_strength_as_often(tmp_path: Path) -> None:
    """Two shots of three classes, four strengths: eight images a class are every pair once, and fewer are nearly even."""
    resources = few(tmp_path, per_class=16, spectrum="even")
    first = made(resources)
    pairs = Counter((r.source.id, r.strength) for r in first if r.source is not None)
    assert len(pairs) == 6 * 4
    assert set(pairs.values()) == {2}
    boots = [r.strength for r in first if r.label == "boot"]
    for count in range(1, len(boots)):
        used = Counter(boots[:count])
        assert max(used.values()) - min(used[s] for s in (0.25, 0.5, 0.75, 1.0)) <= 2
    assert [r.strength for r in asked(resources, 1)] == [r.strength for r in first], "tried again at its own"
