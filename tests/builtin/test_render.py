"""The renderer: every garment on every scene, the same each time, and a mask that says where the garment is."""

from dataclasses import replace

import numpy as np
import pytest

from pipelines.builtin import wardrobe
from pipelines.builtin.render import Scene, render
from pipelines.builtin.scenes import PAINTERS, paint
from pipelines.builtin.world import COLOURS, GARMENTS, SCENES, Factors, caption, draw

EXAMPLE = Factors("boot", 3, "red", "grass", size=40, x=10, y=20, flip=False, seed=7)


def shown(factors: Factors) -> Scene:
    return render(factors, wardrobe.for_sources().items[factors.garment][factors.item])


def ground(factors: Factors) -> np.ndarray:
    return np.round(paint(factors.scene, factors.seed) * 255).astype(np.uint8)


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("garment", GARMENTS)
def test_every_garment_is_rendered_on_every_scene_the_same_each_time(garment: str, scene: str) -> None:
    factors = draw(np.random.default_rng(5), garment, 4, scene=scene)
    first, second = shown(factors), shown(factors)
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.mask, second.mask)
    assert first.image.shape == (64, 64, 3)
    assert first.image.dtype == np.uint8
    assert first.mask.shape == (64, 64)
    assert first.mask.dtype == np.bool_
    assert 0.02 < first.mask.mean() < 0.7


@pytest.mark.parametrize("garment", GARMENTS)
def test_the_mask_is_where_the_colour_of_the_garment_is(garment: str) -> None:
    """Outside the mask a change of colour touches only the soft edge."""
    factors = replace(EXAMPLE, garment=garment)
    red, blue = shown(factors), shown(replace(factors, colour="blue"))
    assert np.array_equal(red.mask, blue.mask)
    difference = np.abs(red.image.astype(int) - blue.image).max(axis=2)
    painted = difference > 0
    assert painted[red.mask].mean() > 0.99
    outer = np.pad(red.mask, 2)
    near = np.any([outer[r : r + 64, c : c + 64] for r in range(5) for c in range(5)], axis=0)
    assert painted[~near].mean() < 0.01
    assert difference[red.mask].mean() > 4 * difference[~red.mask].mean()


def test_outside_the_garments_square_the_scene_is_untouched() -> None:
    picture = shown(EXAMPLE)
    outside = np.ones((64, 64), dtype=bool)
    outside[EXAMPLE.y : EXAMPLE.y + EXAMPLE.size, EXAMPLE.x : EXAMPLE.x + EXAMPLE.size] = False
    assert np.array_equal(picture.image[outside], ground(EXAMPLE)[outside])
    assert not picture.mask[outside].any()


def test_flipping_mirrors_the_garment_inside_its_square() -> None:
    plain, flipped = shown(EXAMPLE).mask, shown(replace(EXAMPLE, flip=True)).mask
    window = np.s_[EXAMPLE.y : EXAMPLE.y + EXAMPLE.size, EXAMPLE.x : EXAMPLE.x + EXAMPLE.size]
    assert np.array_equal(plain[window][:, ::-1], flipped[window])
    assert not np.array_equal(plain, flipped)


def test_moving_the_garment_moves_its_mask() -> None:
    assert np.array_equal(np.roll(shown(EXAMPLE).mask, (3, -2), (0, 1)), shown(replace(EXAMPLE, x=8, y=23)).mask)


@pytest.mark.parametrize(
    "change", [{"colour": "blue"}, {"scene": "snow"}, {"size": 44}, {"item": 4}, {"seed": 8}, {"x": 9}], ids=str
)
def test_every_factor_shows(change: dict[str, object]) -> None:
    assert not np.array_equal(shown(EXAMPLE).image, shown(replace(EXAMPLE, **change)).image)  # type: ignore[arg-type]


@pytest.mark.parametrize("scene", PAINTERS)
def test_a_scene_is_a_function_of_its_seed(scene: str) -> None:
    assert np.array_equal(paint(scene, 1), paint(scene, 1))
    assert not np.array_equal(paint(scene, 1), paint(scene, 2))
    assert paint(scene, 1).min() >= 0
    assert paint(scene, 1).max() <= 1


def test_scenes_differ_more_from_each_other_than_within() -> None:
    means = {scene: np.array([paint(scene, s).mean(axis=(0, 1)) for s in range(12)]) for scene in SCENES}
    for a in SCENES:
        spread = np.linalg.norm(means[a] - means[a].mean(axis=0), axis=1).mean()
        for b in SCENES:
            assert a == b or np.linalg.norm(means[a].mean(axis=0) - means[b].mean(axis=0)) > 1.5 * spread


def test_drawn_factors_stay_inside_the_picture_and_use_their_whole_range() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw(rng, "boot", i, scene="sand") for i in range(600)]
    assert {f.size for f in drawn} == set(range(36, 51))
    assert all(0 <= f.x <= 64 - f.size and 0 <= f.y <= 64 - f.size for f in drawn)
    assert {f.colour for f in drawn} == set(COLOURS)
    assert 0.4 < np.mean([f.flip for f in drawn]) < 0.6


def test_the_fine_names_of_shoes_are_never_said() -> None:
    for garment in GARMENTS:
        said = caption(replace(EXAMPLE, garment=garment))
        assert ("shoe" in said) == (garment in ("sandal", "sneaker", "boot"))
        assert not any(word in said for word in ("sandal", "sneaker", "boot"))
