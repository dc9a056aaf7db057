"""Choosing a checkpoint on generated images: a balanced part, set apart, and no group label of a real one. Five seconds."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest

from pipelines.errors import SourceError
from pipelines.records import Examples
from pipelines.spec import Recipe
from pipelines.training.batches import Feed
from pipelines.training.erm import erm
from pipelines.training.fit import train
from pipelines.training.metrics import score
from pipelines.training.selection import part, rows_apart
from tests.training.shortcut import CLASSES, scored, shortcut, task


def generated(counts: dict[tuple[str, str], int]) -> tuple[Examples, list[str]]:
    """So many images of each class and kind; every pixel of image n is n."""
    kinds = [kind for kind, count in counts.items() for _ in range(count)]
    images = [np.full((2, 2, 3), number, np.uint8) for number in range(len(kinds))]
    return Examples(images, [label for label, _ in kinds], ["secret"] * len(kinds)), [kind for _, kind in kinds]


def set_apart(generated: Examples, kinds: Sequence[str], seed: int) -> tuple[Examples, Examples]:
    """What is left to train on, and what is chosen by."""
    apart = rows_apart(generated.labels, kinds, seed)
    rest = sorted(set(range(len(kinds))) - set(apart))
    return part(generated, rest, generated.groups), part(generated, apart, kinds)


def numbers(examples: Examples) -> list[int]:
    return [int(image[0, 0, 0]) for image in examples.images]


def test_a_fifth_is_set_apart_evenly_over_kinds_and_nothing_is_in_both_parts() -> None:
    every, kinds = generated({("boot", "a"): 30, ("boot", "b"): 30, ("shoe", "a"): 20, ("shoe", "b"): 20})
    rest, apart = set_apart(every, kinds, seed=0)
    assert sorted(numbers(rest) + numbers(apart)) == list(range(100))
    chosen = [(every.labels[n], kinds[n]) for n in numbers(apart)]
    assert {kind: chosen.count(kind) for kind in set(chosen)} == dict.fromkeys(
        [("boot", "a"), ("boot", "b"), ("shoe", "a"), ("shoe", "b")], 5
    )
    assert list(zip(apart.labels, apart.groups, strict=True)) == chosen
    assert rest.labels == [every.labels[n] for n in numbers(rest)]


def test_the_seed_decides_and_no_kind_gives_more_than_half() -> None:
    every, kinds = generated({("boot", "a"): 40, ("boot", "b"): 3, ("boot", "c"): 1, ("shoe", "a"): 40})
    first, again, other = (set_apart(every, kinds, seed=seed)[1] for seed in (1, 1, 2))
    assert numbers(first) == numbers(again) != numbers(other)
    chosen = list(zip(first.labels, first.groups, strict=True))
    counts = {kind: chosen.count(kind) for kind in set(chosen)}
    assert counts == {("boot", "a"): 4, ("boot", "b"): 1, ("shoe", "a"): 4}


def test_a_class_with_nothing_to_choose_by_is_named() -> None:
    every, kinds = generated({("boot", "a"): 5, ("shoe", "a"): 1, ("shoe", "b"): 1})
    with pytest.raises(SourceError, match=r"^evaluation\.checkpoint: generated needs two .* of 'shoe' there is only one"):
        set_apart(every, kinds, seed=0)


@pytest.mark.parametrize("recipe", [recipe for recipe in get_args(Recipe) if recipe != "retrained"])  # another layer
def test_every_recipe_returns_the_checkpoint_that_is_best_on_the_part_set_apart(
    recipe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The images to choose by are labelled by the opposite of the shortcut, so that the last checkpoint is not the best."""
    added, apart = shortcut(30, 30, seed=3), shortcut(4, 24, seed=1)
    added = replace(added, groups=[None] * len(added))
    checkpoints: list[tuple[float, float]] = []

    def noted(*arguments: Any) -> Any:
        result = score(*arguments)
        checkpoints.append((float(np.mean(list(result.groups.values()))), result.average))
        return result

    monkeypatch.setattr("pipelines.training.loop.score", noted)
    settings = {"generated": Feed(added, CLASSES), "recipe": recipe, "checkpoint": "generated", "apart": apart}
    model = train(task(shortcut(38, 2), None, steps=30, **settings))
    assert len(checkpoints) == (5 if recipe in ("fake_to_real", "last_layer", "multi_positive") else 10)
    assert np.mean(list(scored(model, apart).groups.values())) == pytest.approx(max(merit for merit, _ in checkpoints))


class Secret(list[str | None]):
    """Groups that nobody may read."""

    def __iter__(self) -> Iterator[str | None]:
        raise AssertionError("a group was read")

    def __getitem__(self, place: Any) -> Any:
        raise AssertionError("a group was read")


@pytest.mark.parametrize("checkpoint", ["average", "generated"])
@pytest.mark.parametrize("alone", [True, False])
def test_no_group_of_a_real_image_is_read(checkpoint: str, alone: bool) -> None:
    def secret(examples: Examples) -> Examples:
        return Examples(examples.images, examples.labels, Secret(examples.groups))

    real, validation = secret(shortcut(8, 2)), secret(shortcut(4, 4, seed=1))
    changes: dict[str, Any] = {"checkpoint": checkpoint, "steps": 4}
    if not alone:
        added, apart = set_apart(shortcut(8, 8, seed=2), ["a", "b"] * 16, seed=0)
        changes |= {"generated": Feed(added, CLASSES), "apart": apart}
    erm(task(real, validation, **changes))
    with pytest.raises(AssertionError, match="a group was read"):
        erm(task(real, validation, **{**changes, "checkpoint": "best"}))
