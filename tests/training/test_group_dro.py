"""Group DRO: groups are numbered, their weights follow their losses, and the worst group is better than by ERM."""

import pytest
import torch

from pipelines.records import Examples
from pipelines.training.erm import erm
from pipelines.training.group_dro import STEP_SIZE, ascend, group_dro, group_means, group_numbers
from tests.training.shortcut import scored, shortcut, task


def test_a_group_is_a_class_on_a_spurious_attribute() -> None:
    examples = Examples([], ["boot", "boot", "sneaker", "boot"], ["grass", "brick", "grass", "grass"])
    assert group_numbers(examples).tolist() == [1, 0, 2, 1]


def test_the_loss_of_a_group_is_the_mean_of_its_images() -> None:
    losses = torch.tensor([1.0, 3.0, 5.0])
    assert group_means(losses, torch.tensor([0, 2, 2]), 4).tolist() == [1.0, 0.0, 4.0, 0.0]


def test_weights_move_to_the_group_with_the_higher_loss_by_the_exponent_of_the_difference() -> None:
    weights = ascend(torch.tensor([0.5, 0.5]), torch.tensor([1.0, 3.0]))
    assert float(weights.sum()) == pytest.approx(1)
    assert float(weights[1] / weights[0]) == pytest.approx(float(torch.tensor(2 * STEP_SIZE).exp()))


def test_the_worst_group_is_better_than_by_erm() -> None:
    real, validation, test = shortcut(95, 5), shortcut(20, 20, seed=1), shortcut(40, 40, seed=2)
    plain, robust = scored(erm(task(real, validation)), test), scored(group_dro(task(real, validation)), test)
    assert plain.worst_group < 0.6, "ERM does not fall for the shortcut: this showed nothing"
    assert robust.worst_group > plain.worst_group + 0.2


def test_an_adjustment_changes_what_is_learned_from_groups_of_different_size() -> None:
    weights = [group_dro(task(shortcut(20, 5), None, steps=4), adjustment=c).state_dict() for c in (0.0, 0.0, 50.0)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not all(torch.equal(weights[0][name], weights[2][name]) for name in weights[0])
