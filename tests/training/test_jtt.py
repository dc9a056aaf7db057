"""JTT: two trainings of as many steps as one; the second draws the errors of the first more often."""

import pytest
import torch

from pipelines.training import jtt as module
from pipelines.training.erm import erm
from pipelines.training.jtt import UPWEIGHT, jtt
from pipelines.training.task import Task
from pipelines.vision.classifier import Classifier
from tests.training.shortcut import scored, shortcut, task


def test_the_errors_of_a_short_first_training_are_drawn_more_often_in_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[tuple[Task, Classifier]] = []

    def watch(task: Task) -> Classifier:
        runs.append((task, erm(task)))
        return runs[-1][1]

    monkeypatch.setattr(module, "erm", watch)
    real, validation = shortcut(45, 5), shortcut(10, 10, seed=1)
    model = jtt(task(real, validation, steps=50))
    (first, identifier), (second, result) = runs
    assert (first.spec.steps, second.spec.steps) == (10, 40)
    assert first.validation is None, "no group label of the validation images plays a part in finding the errors"
    assert second.validation is validation
    assert second.real.weights is not None
    right = identifier.scores(real.images).argmax(dim=1) == second.real.targets
    assert second.real.weights.tolist() == [1.0 if hit else UPWEIGHT for hit in right]
    assert 0 < int(right.sum()) < len(right), "nothing was right or nothing wrong: this showed nothing"
    assert model is result


def test_the_worst_group_is_better_than_by_erm() -> None:
    real, validation, test = shortcut(95, 5), shortcut(20, 20, seed=1), shortcut(40, 40, seed=2)
    plain, twice = (scored(train(task(real, validation)), test) for train in (erm, jtt))
    assert twice.worst_group > plain.worst_group


def test_one_step_is_left_for_the_second_training() -> None:
    first, second = (jtt(task(shortcut(8, 2), None, steps=2, seed=seed)).state_dict() for seed in (0, 1))
    assert not all(torch.equal(first[name], second[name]) for name in first)
