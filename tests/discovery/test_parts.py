"""What images are taken apart into, against the renderer's truth. Ten seconds."""

import numpy as np
import pytest

from pipelines.builtin import wardrobe
from pipelines.builtin.render import Scene, render
from pipelines.builtin.world import SCENES, draw
from pipelines.discovery.association import associate
from pipelines.discovery.attributes import ATTRIBUTES
from pipelines.discovery.foreground import background, foreground
from pipelines.discovery.picture import Picture
from pipelines.discovery.sharpness import blurred, compressed, jpeg_quality, sharpness, softened
from pipelines.records import Image, Item


def scenes(count: int = 60) -> list[Scene]:
    garments = wardrobe.for_sources().items
    random, kinds = np.random.default_rng(0), ("boot", "coat", "bag", "dress")
    return [
        render(draw(random, kinds[n % 4], n, scene=SCENES[n % len(SCENES)]), garments[kinds[n % 4]][n]) for n in range(count)
    ]


def apart(image: Image, target: int = 0) -> Picture:
    return Picture.of(Item("a.png", "", "boot", None), target, image)


def test_the_object_is_mostly_where_the_renderer_put_it() -> None:
    overlaps = []
    for scene in scenes():
        mask = foreground(scene.image)
        overlaps.append((mask & scene.mask).sum() / (mask | scene.mask).sum())
    assert np.median(overlaps) >= 0.8


def test_an_image_of_another_size_is_taken_apart_at_its_own() -> None:
    image = np.kron(scenes(1)[0].image, np.ones((2, 2, 1), np.uint8))
    mask = foreground(image)
    assert mask.shape == (128, 128)
    assert background(image, mask).shape == image.shape


def test_of_an_image_of_one_colour_the_middle_is_taken() -> None:
    picture = apart(np.full((64, 64, 3), 90, np.uint8))
    assert 0.1 < picture.region.mean() < 0.3
    assert (picture.background == 90).all()


def test_the_background_has_none_of_the_object_s_pixels() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[20:44, 20:44] = 255
    picture = apart(image)
    assert picture.region[22:42, 22:42].all()
    assert (picture.background == 0).all()


@pytest.mark.parametrize("quality", [12, 25, 40])
def test_compressed_images_are_told_from_others_and_from_blurred_ones(quality: int) -> None:
    images = [scene.image for scene in scenes()]
    qualities = [jpeg_quality(compressed(image, quality)) for image in images]
    assert np.mean([one is not None for one in qualities]) >= 0.9
    for others in (images, [blurred(image, 1.2) for image in images]):
        assert np.mean([jpeg_quality(image) is None for image in others]) >= 0.9


def test_an_image_is_softened_to_another_s_sharpness_and_never_sharpened() -> None:
    image = scenes(1)[0].image
    soft = blurred(image, 1.3)
    where = np.ones((64, 64), np.bool_)
    assert abs(sharpness(softened(image, where, sharpness(soft, where)), where) - sharpness(soft, where)) < 0.8
    assert (softened(soft, where, sharpness(image, where)) == soft).all()


@pytest.mark.parametrize("attribute", ["background", "border"])
def test_the_object_keeps_its_pixels_when_its_surroundings_are_exchanged(attribute: str) -> None:
    first, second = (apart(scene.image) for scene in scenes(2))
    changed = ATTRIBUTES[attribute].exchange(first, second)
    assert (changed[first.region] == first.image[first.region]).all()
    assert (changed != first.image).any()


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_an_image_given_its_own_attribute_is_the_same(attribute: str) -> None:
    picture = apart(scenes(1)[0].image)
    difference = ATTRIBUTES[attribute].exchange(picture, picture).astype(int) - picture.image
    assert np.abs(difference[picture.region]).max() <= 3  # of rounding


def test_position_moves_the_object_to_the_other_s_place() -> None:
    first, second = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64, 3), np.uint8)
    first[14:38, 14:38] = 255
    second[24:48, 22:46] = 255
    moved = ATTRIBUTES["position"].exchange(apart(first), apart(second))
    assert (moved == second).all()


def test_an_association_is_that_of_the_numbers_and_chance_is_none() -> None:
    random, targets = np.random.default_rng(0), np.arange(300) % 3
    noise, held_out = random.normal(size=(300, 4)), random.normal(size=(90, 4))
    by_chance = [associate(random.normal(size=(300, 4)), targets, held_out, 3).statistic for _ in range(10)]
    assert abs(np.mean(by_chance)) < 1.5
    related = noise.copy()
    related[:, 0] += 3 * targets
    held_out[:, 0] += 3 * (np.arange(90) % 3)
    result = associate(related, targets, held_out, 3)
    assert result.accuracy > 0.8
    assert result.statistic > 10
    assert (result.held_out == np.arange(90) % 3).mean() > 0.8
