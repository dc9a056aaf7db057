"""The probe: what it says of pictures that are alike, and of pictures that are not."""

import numpy as np
import pytest

from pipelines.evaluation.probe import probe_auc
from pipelines.progress import Stage
from pipelines.records import Examples


def drawn(size: int, seed: int, *, shift: int = 0, group: str | None = None) -> Examples:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 200, (size, 8, 8, 3)) + shift
    return Examples(list(pixels.astype(np.uint8)), ["boot"] * size, [group] * size)


def both(a: Examples, b: Examples) -> Examples:
    return Examples([*a.images, *b.images], [*a.labels, *b.labels], [*a.groups, *b.groups])


def test_pictures_of_one_kind_cannot_be_told_apart() -> None:
    found = probe_auc(drawn(120, 1), drawn(120, 2), seed=0)
    assert found is not None
    assert 0.35 < found < 0.65


def test_pictures_that_differ_visibly_can() -> None:
    found = probe_auc(drawn(40, 1), drawn(40, 2, shift=40), seed=0)
    assert found is not None
    assert found > 0.9


def test_only_real_images_of_the_same_group_are_compared() -> None:
    """Dark real images on another ground would give it away, were they used."""
    real = both(drawn(100, 1, group="grass"), drawn(100, 3, shift=55, group="brick"))
    found = probe_auc(real, drawn(100, 2, group="grass"), seed=0)
    assert found is not None
    assert 0.3 < found < 0.7


@pytest.mark.parametrize("size", [0, 1])
def test_too_few_pairs_tell_nothing(size: int) -> None:
    assert probe_auc(drawn(20, 1, group="grass"), drawn(size, 2, group="grass"), seed=0) is None
    assert probe_auc(drawn(20, 1, group="brick"), drawn(20, 2, group="grass"), seed=0) is None


def test_two_pairs_are_enough_to_run() -> None:
    found = probe_auc(drawn(2, 1), drawn(2, 2), seed=0)
    assert found in (0.0, 0.5, 1.0)


def test_the_training_of_the_probe_shows_progress() -> None:
    done: list[int] = []

    def stage(name: str, total: int) -> Stage:
        done.append(-total)
        return done.append

    probe_auc(drawn(4, 1), drawn(4, 2), 0, stage)
    assert done == [-40, *[1] * 40]
