"""Real images mixed with their edits, under fractals. Five seconds."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.engine.engine import Engine, composed
from pipelines.engine.mixing import mixed
from pipelines.learning.resources import Resources
from pipelines.methods.fractals import escape_times, fractal
from pipelines.records import Mix
from tests.builders import open_resources, spec
from tests.methods.test_methods import asked, slots

SHOTS = {"type": "few-shot", "shots": 2, "validation": 12, "test": 12}
METHOD = {"type": "edit_mix", "steps": 4, "superclass": "shoe"}


def few(tmp_path: Path, per_class: int = 12, **changes: Any) -> Resources:
    return open_resources(tmp_path, source=SHOTS, models={}, method={**METHOD, **changes}, amount={"per_class": per_class})


@pytest.mark.parametrize("sideways", [True, False])
def test_half_is_real_and_half_is_edited_with_a_ramp_between(sideways: bool) -> None:
    """At 512 pixels the ramp is of twenty: DiffuseMix's."""
    real, edited = np.zeros((512, 512, 3), np.uint8), np.full((512, 512, 3), 200, np.uint8)
    grey = mixed(Mix(sideways, real, 0.0), real, edited)[..., 0]
    line = grey[0] if sideways else grey[:, 0]
    assert (grey == (line[None] if sideways else line[:, None])).all()
    assert (line[:246] == 0).all()
    assert (line[266:] == 200).all()
    ramp = line[246:266]
    assert np.array_equal(ramp, np.round(200 * (np.arange(20) + 0.5) / 20).astype(np.uint8))


def test_a_fifth_is_the_fractal() -> None:
    rng = np.random.default_rng(0)
    real, edited, pattern = (rng.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(3))
    sample = mixed(Mix(True, pattern, 0.2), real, edited)
    expected = 0.8 * np.concatenate([real[:, :30], edited[:, 34:]], axis=1) + 0.2 * np.delete(pattern, slice(30, 34), axis=1)
    assert np.abs(np.delete(sample, slice(30, 34), axis=1) - expected).max() <= 0.5 + 1e-9


def test_a_fractal_follows_from_its_seed_and_is_no_plain_colour() -> None:
    made = [fractal(seed, 64) for seed in range(40)]
    assert all(np.array_equal(image, fractal(seed, 64)) for seed, image in enumerate(made[:3]))
    assert len({image.tobytes() for image in made}) == len(made)
    assert {(image.shape, image.dtype.name) for image in made} == {((64, 64, 3), "uint8")}
    assert min(image.std(axis=(0, 1)).max() for image in made) > 15
    assert fractal(0, 300).shape == (300, 300, 3)


def test_a_point_escapes_after_as_many_iterations_as_by_hand() -> None:
    """A real c, along the real line: z <- z^2 + 1 from z = 1 is 2, 5, 26, 677, 458330."""
    times = escape_times(1 + 0j, 1.0, 0.0, 3)
    assert times[1, 2] == pytest.approx(5 - np.log2(np.log(458330) / np.log(1000)))
    assert escape_times(0j, 0.5, 0.0, 3).tolist() == np.full((3, 3), 48.0).tolist(), "those inside never do"


def test_every_image_of_a_class_is_edited_as_often_in_styles_that_are_drawn(tmp_path: Path) -> None:
    resources = few(tmp_path, per_class=40)
    requests = asked(resources)
    used = Counter(request.source.id for request in requests if request.source is not None)
    assert set(used.values()) == {20}
    styles = Counter(request.prompt.partition(", ")[2] for request in requests)
    assert set(styles) == {*spec(method=METHOD).method.styles}  # type: ignore[union-attr]
    for slot, request in zip(slots(resources), requests, strict=True):
        assert request.source is not None
        assert request.source.label == request.label == slot.origin
        assert request.prompt.startswith(f"a photo of a {request.label}, ")
        assert (request.strength, request.guidance) == (0.6, 4.0)
    sides = Counter(request.mix.side_by_side for request in requests if request.mix is not None)
    assert min(sides[True], sides[False]) > len(requests) / 4
    again = asked(resources, 1)
    assert [r.prompt for r in again] != [r.prompt for r in requests], "another attempt is another edit"


def test_of_a_sample_one_half_is_the_real_image_under_its_fractal(tmp_path: Path) -> None:
    """On the bundled model."""
    resources = few(tmp_path, per_class=2)
    for candidate in Engine(resources.models.backbone).run(asked(resources)):
        real, mix, side = candidate.request.image, candidate.request.mix, len(candidate.image)
        assert real is not None
        assert mix is not None
        half = np.s_[:, : side // 2 - 2] if mix.side_by_side else np.s_[: side // 2 - 2]
        expected = 0.8 * real[half] + 0.2 * mix.fractal[half]
        assert np.abs(candidate.image[half] - expected).max() <= 0.5 + 1e-9
        other = np.s_[:, side // 2 + 2 :] if mix.side_by_side else np.s_[side // 2 + 2 :]
        assert np.abs(candidate.image[other] - (0.8 * real[other] + 0.2 * mix.fractal[other])).mean() > 2
        assert np.array_equal(composed(candidate.request, real)[half], candidate.image[half])


def test_instructions_say_the_style_alone_and_begin_from_noise(tmp_path: Path) -> None:
    for request in asked(few(tmp_path, editor="instruct", styles=["snowy"])):
        assert request.prompt == "A transformed version of image into snowy"
        assert (request.strength, request.guidance, request.image_guidance) == (1.0, 4.0, 1.5)
        assert request.mix is not None
