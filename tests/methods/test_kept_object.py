"""An object that is kept: in a colour of its own choice, anywhere in its image, its light and shade as they were."""

from collections import Counter
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from pipelines.builtin import wardrobe
from pipelines.builtin.render import render
from pipelines.builtin.world import COLOURS, SCENES, draw
from pipelines.methods.kept_object import elsewhere, middles, recoloured
from pipelines.records import Mask
from pipelines.spec.colours import Rgb, rgb
from tests.builders import noise, picture, square


def test_a_colour_is_given_to_the_object_alone_and_its_shades_stay_in_order() -> None:
    image, mask = picture(1), square()
    red = recoloured(image, mask, (200, 20, 0))
    assert np.array_equal(red[~mask], image[~mask])
    before = image[mask] @ image[binary_erosion(mask)].mean(axis=0)
    after = red[mask].astype(float)
    assert (np.diff(after[np.argsort(before), 0]) >= 0).all()
    assert after[before.argmax()].tolist() == [200, 20, 0]
    assert after[:, 2].max() == 0


@pytest.mark.parametrize("garment", ["sandal", "sneaker", "boot"])
def test_it_is_as_the_renderer_colours_it(garment: str) -> None:
    rng, items, errors = np.random.default_rng(0), wardrobe.for_sources().items[garment], []
    for number in range(40):
        shot = draw(rng, garment, number, scene=SCENES[number % len(SCENES)])
        other = replace(shot, colour=list(COLOURS)[rng.integers(len(COLOURS))])
        before, true = render(shot, items[number]), render(other, items[number])
        colour = cast(Rgb, tuple(round(255 * channel) for channel in COLOURS[other.colour]))
        inside = binary_erosion(before.mask)  # what is behind the object shows at its edge
        errors.append(
            np.abs(recoloured(before.image, before.mask, colour)[inside] - true.image[inside].astype(float)).mean()
        )
    assert np.mean(errors) < 4  # of 255; 10 where the brightest twentieth has the full colour


def test_a_black_object_stays_black() -> None:
    assert recoloured(np.zeros((32, 32, 3), np.uint8), square(), (255, 0, 0)).max() == 0


def box(rows: slice, columns: slice) -> Mask:
    mask = np.zeros((16, 16), np.bool_)
    mask[rows, columns] = True
    return mask


def test_an_object_is_put_anywhere_in_its_room_evenly_and_never_beyond_the_image() -> None:
    image, mask = noise(0, 16), box(slice(3, 7), slice(2, 10))
    inside, room = box(slice(2, 12), slice(1, 15)), box(slice(4, 7), slice(5, 10))
    places: Counter[tuple[int, int]] = Counter()
    for seed in range(3000):
        moved, where = elsewhere(image, mask, room, inside, seed)
        assert (where & ~inside).sum() == 0
        assert np.array_equal(moved[where], image[mask])
        places[tuple(np.argwhere(where)[0])] += 1  # type: ignore[index]
    assert set(places) == {(row, column) for row in (3, 4, 5) for column in range(2, 7)}
    assert max(places.values()) < 2 * min(places.values())
    corner = box(slice(0, 1), slice(0, 1))  # a middle there would leave the image
    assert elsewhere(image, mask, corner, inside, 0)[1].nonzero()[0].min() == 2


def test_an_object_that_is_longer_than_the_image_stays_there_along_that_side() -> None:
    mask, inside = box(slice(None), slice(4, 6)), box(slice(4, 12), slice(None))
    rows = {tuple(np.flatnonzero(elsewhere(noise(0, 16), mask, inside, inside, seed)[1].any(axis=1))) for seed in range(20)}
    assert rows == {tuple(range(16))}


def test_the_room_of_objects_is_where_the_middles_of_their_boxes_are() -> None:
    masks = [box(slice(3, 7), slice(2, 10)), box(slice(8, 9), slice(3, 4)), box(slice(0, 9), slice(4, 6))]
    assert np.array_equal(middles(masks), box(slice(4, 9), slice(3, 6)))


@pytest.mark.parametrize(("word", "colour"), [("red", (255, 0, 0)), ("dark green", (0, 100, 0)), ("#8b4513", (139, 69, 19))])
def test_a_colour_is_one_of_css(word: str, colour: tuple[int, int, int]) -> None:
    assert rgb(word) == colour


def test_a_word_that_is_no_colour_is_named() -> None:
    with pytest.raises(ValueError, match="'a red' is no CSS colour; name one, such as red"):
        rgb("a red")
