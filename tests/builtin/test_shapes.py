"""Adjectives of shapes: measured, as frequent at both ends, and never a fine name."""

import random
from itertools import chain

import numpy as np

from pipelines.builtin.train.language import build_tokenizer
from pipelines.builtin.train.pictures import fresh
from pipelines.builtin.train.shapes import ADJECTIVES, EXTREME, SAID, adjectives, levels, measures
from pipelines.builtin.world import GARMENTS, SPOKEN

DATA = fresh(0)
LEVELS = levels(DATA)


def test_measures_are_what_they_are_called() -> None:
    grey = np.full((64, 64, 3), 90, np.uint8)
    tall, flat = np.zeros((64, 64), bool), np.zeros((64, 64), bool)
    tall[10:50, 20:30], flat[30:40, 10:50] = True, True
    assert measures(grey, tall)[:2] == [4.0, 1.0]
    assert measures(grey, flat)[0] == 0.25
    assert measures(grey, tall)[5] == 0
    patterned = grey.copy()
    patterned[::2] = 200
    assert measures(patterned, tall)[5] > 0.3
    comb = tall.copy()
    comb[10:50:2, 24:30] = False
    assert measures(grey, comb)[4] > measures(grey, tall)[4]


def test_each_end_is_as_frequent_for_every_word() -> None:
    spoken = np.array([SPOKEN[GARMENTS[g]] for g in DATA.factors[:, 0]])
    for word in set(spoken):
        found = LEVELS[spoken == word]
        assert np.all(np.abs((found < 0).mean(axis=0) - SAID) < 0.08), word
        assert np.all(np.abs((found == 2).mean(axis=0) - EXTREME) < 0.08), word


def test_what_tells_shoes_apart_can_be_said() -> None:
    def mean(name: str, measure: int) -> float:
        return float(LEVELS[DATA.factors[:, 0] == GARMENTS.index(name), measure].mean())

    assert mean("boot", 0) > 0.5 > -0.3 > mean("sneaker", 0)  # tall
    assert mean("sandal", 4) > mean("boot", 4) + 0.5  # open


def test_captions_never_say_a_fine_name() -> None:
    rng = random.Random(0)
    said = {word for level in LEVELS for word in adjectives(rng, level).split()}
    assert said == {"very", *chain.from_iterable(ADJECTIVES)}
    assert not said & {"boot", "sneaker", "sandal"}
    tokenizer = build_tokenizer()
    assert all(len(tokenizer.tokenize(word)) == 1 for word in said)
