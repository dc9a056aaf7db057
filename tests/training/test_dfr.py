"""DFR: only the last layer differs from ERM's, and it no longer leans on the shortcut."""

import numpy as np
import torch

from pipelines.training.dfr import dfr
from pipelines.training.erm import erm
from pipelines.training.last_layer import balanced, halves
from tests.training.shortcut import scored, shortcut, task


def test_the_last_layer_alone_is_another_and_the_worst_group_better() -> None:
    real, validation, test = shortcut(95, 5), shortcut(30, 10, seed=1), shortcut(40, 40, seed=2)
    plain, retrained = erm(task(real, validation)), dfr(task(real, validation))
    before, after = plain.state_dict(), retrained.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(".classifier." in name for name in changed)
    assert scored(plain, test).worst_group < 0.6, "ERM does not fall for the shortcut: this showed nothing"
    assert scored(retrained, test).worst_group > scored(plain, test).worst_group + 0.2


def test_the_same_seed_gives_the_same_layer() -> None:
    first, second = (dfr(task(shortcut(8, 2), shortcut(4, 4, seed=1), steps=4)).last_layer.weight for _ in range(2))
    assert torch.equal(first, second)


def test_features_are_what_the_last_layer_turns_into_logits() -> None:
    examples = shortcut(3, 2)
    model = erm(task(examples, None, steps=2))
    logits = model.last_layer(model.features(examples.images))
    assert torch.allclose(logits, model.scores(examples.images), atol=1e-5)


def test_subsets_have_as_many_of_each_group_and_differ() -> None:
    groups, rng = np.array([0] * 9 + [1] * 3 + [2] * 5), np.random.default_rng(0)
    first, second = balanced(groups, rng), balanced(groups, rng)
    assert np.bincount(groups[first]).tolist() == [3, 3, 3]
    assert len(set(first)) == 9
    assert sorted(first) != sorted(second)


def test_halves_share_every_group_evenly_and_no_image() -> None:
    groups = np.array([0] * 9 + [1] * 2 + [2] * 5)
    first, second = halves(groups, np.random.default_rng(0))
    assert sorted([*first, *second]) == list(range(16))
    assert (np.bincount(groups[first]).tolist(), np.bincount(groups[second]).tolist()) == ([5, 1, 3], [4, 1, 2])
