"""Diffusion Curriculum: from diverse to specific and then real; or by what was gained. Two seconds."""

from collections import Counter
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np
import pytest
import torch

from pipelines.errors import SourceError, SpecError
from pipelines.evaluation.additions import version
from pipelines.evaluation.amounts import beginning
from pipelines.records import Examples
from pipelines.training import curriculum as module
from pipelines.training.batches import Feed
from pipelines.training.curriculum import confidence, curriculum, lengths
from pipelines.training.erm import erm
from pipelines.training.loop import Loop
from pipelines.training.recipes import Mixture
from pipelines.training.selection import part
from tests.builders import open_resources, spec
from tests.evaluation.test_evaluator import opened
from tests.training.shortcut import CLASSES, shortcut, task

STRENGTHS = (0.25, 0.5, 0.75, 1.0)


def spectrum(strengths: tuple[float, ...] | None = STRENGTHS) -> Examples:
    """Pictures of one grey, a hundred times their strength; 200 where there is none."""
    of_each = [s for s in (strengths or (2.0,)) for _ in range(4)]
    images = [np.full((16, 16, 3), round(100 * s), np.uint8) for s in of_each]
    labels = [CLASSES[n % 2] for n in range(len(of_each))]
    return Examples(images, labels, [None] * len(labels), of_each if strengths else None)


def walked(examples: Examples, steps: int, recipe: str, validation: Examples | None = None) -> list[tuple[float, ...]]:
    """Of each step, the strengths that its generated images have; none of a step of real images alone."""
    black = Examples([np.zeros((16, 16, 3), np.uint8)] * 4, [*CLASSES] * 2, [None] * 4)
    loop = Loop(task(black, validation, steps=steps, recipe=recipe))
    batches = curriculum(loop, Mixture(loop.task.real, Feed(examples, CLASSES), torch.ones(2)))
    levels = []
    for x, _, _ in batches:
        grey = ((x[:, 0, 0, 0] + 1) / 2 * 255).round() / 100
        assert len(x) == 32
        assert (grey > 0).sum() in (0, 16), "half of a batch is generated, or none"
        levels.append(tuple(sorted({round(value, 2) for value in grey.tolist() if value})))
    return levels


def test_it_walks_from_diverse_to_specific_and_ends_on_real_images() -> None:
    """60 of 65 epochs as in the paper: of 130 steps, ten real ones, after thirty of each strength."""
    levels = walked(spectrum(), 130, "curriculum")
    assert [(level, len([*steps])) for level, steps in groupby(levels)] == [
        ((1.0,), 30), ((0.75,), 30), ((0.5,), 30), ((0.25,), 30), ((), 10),
    ]  # fmt: skip
    few = walked(spectrum(), 3, "curriculum")
    assert len(few) == 3, "more strengths than steps"
    assert few == sorted(few, reverse=True)


def test_images_without_strengths_are_one_stage() -> None:
    assert walked(spectrum(None), 65, "curriculum") == [(2.0,)] * 60 + [()] * 5


def test_stages_are_as_even_as_can_be() -> None:
    for steps, stages in ((10, 4), (3, 4), (150, 15)):
        parts = lengths(steps, stages)
        assert (sum(parts), len(parts)) == (steps, stages)
        assert max(parts) - min(parts) <= 1


def test_the_adaptive_one_takes_the_strength_that_last_gained_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """The confidences are scripted: after one stage of each, 0.5 has gained most, until a stage of it gains nothing."""
    gains = [0.01, 0.02, 0.1, 0.03, 0.05, 0.0, 0.025, *[0.04] * 8]
    values = iter(np.cumsum([0.1, *gains]))
    monkeypatch.setattr(module, "confidence", lambda loop, examples: float(next(values)))
    levels = walked(spectrum(), 20, "adaptive_curriculum", shortcut(2, 2))
    assert levels == [(s,) for s in (1.0, 0.75, 0.5, 0.25, 0.5, 0.5, *[0.25] * 9)] + [()] * 5
    assert next(values, None) is None, "looked at before the first stage and after each"


def test_confidence_is_the_mean_probability_of_the_true_class() -> None:
    examples = shortcut(3, 2)
    loop = Loop(task(examples, None))
    shares = loop.model.scores(examples.images).double().softmax(dim=1).numpy()
    truth = [CLASSES.index(label) for label in examples.labels]
    assert confidence(loop, examples) == pytest.approx(np.mean([row[t] for row, t in zip(shares, truth, strict=True)]))


def test_a_training_depends_on_its_seed_alone_and_differs_from_the_mixed_one() -> None:
    added = replace(shortcut(8, 8, seed=2), strengths=[0.5, 1.0] * 16)
    runs = [
        erm(
            task(shortcut(8, 2), shortcut(4, 4, seed=1), steps=20, generated=Feed(added, CLASSES), recipe=recipe)
        ).state_dict()
        for recipe in ("adaptive_curriculum", "adaptive_curriculum", "curriculum", "mixed")
    ]
    same = [all(torch.equal(runs[0][name], run[name]) for name in run) for run in runs]
    assert same == [True, True, False, False]


def test_strengths_stay_with_their_images() -> None:
    examples, rows = spectrum(), [5, 15, 0]
    for some in (examples.pick(rows), part(examples, rows, examples.groups), beginning(examples, rows, 1.0)):
        assert some.strengths == [round(int(image[0, 0, 0]) / 100, 2) for image in some.images] == [0.5, 1.0, 0.25]
    assert spectrum(None).pick([0]).strengths is None


@pytest.mark.parametrize("method", [{"type": "text_to_image"}, {"type": "image_variation", "strengths": [0.5]}])
def test_one_strength_alone_is_refused(method: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=r"evaluation\.recipe: curriculum walks .* two or more strengths, or recipe: mixed"):
        spec(method=method, evaluation={"recipe": "curriculum"})
    spec(method={"type": "image_variation"}, evaluation={"recipe": "curriculum"})


def test_a_version_of_which_one_strength_was_kept_says_so(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = opened(open_resources(tmp_path, method={"type": "image_variation"}), recipe="curriculum")
    for strengths, error in (((0.5,), True), ((0.5, 1.0), False)):
        monkeypatch.setattr(made.data, "examples", lambda samples, kept=strengths: spectrum(kept))
        if error:
            with pytest.raises(SourceError, match=r"evaluation\.recipe: curriculum .* all that were kept have 0\.5; give"):
                version(made.data)
        else:
            assert Counter(version(made.data).strengths or ()) == {0.5: 4, 1.0: 4}


def test_the_adaptive_one_needs_validation_images(tmp_path: Any) -> None:
    resources = open_resources(tmp_path)
    resources.source.splits["validation"].clear()
    opened(resources, recipe="curriculum", checkpoint="last")
    with pytest.raises(SourceError, match=r"evaluation\.recipe: adaptive_curriculum chooses strengths on validation images"):
        opened(resources, recipe="adaptive_curriculum", checkpoint="last")
