"""The resources: the judge is learned once, ranks every training image, and needs no diffusion model."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.errors import SourceError
from pipelines.learning.resources import Resources
from pipelines.progress import Silent, Stage
from pipelines.regions import isolate
from pipelines.store.artifacts import learned_from
from tests.builders import noise, open_resources


class Named(Silent):
    """Progress that remembers which stages were begun."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, int]] = []

    def stage(self, name: str, total: int) -> Stage:
        self.stages.append((name, total))
        return super().stage(name, total)


def again(first: Resources) -> tuple[Resources, Named]:
    """Another process on the same store."""
    progress = Named()
    return Resources(first.spec, first.store, progress), progress


def test_the_judge_is_learned_once_and_then_found(tmp_path: Path) -> None:
    first = open_resources(tmp_path)
    pictures = first.view.images(first.source.splits["test"])
    scores = first.judge.scores(pictures)
    second, progress = again(first)
    assert torch.equal(second.judge.scores(pictures), scores)
    assert progress.stages == []
    assert not second.judge.training
    assert first.models.loaded == second.models.loaded == [], "the judge loads no diffusion model"


def test_what_a_judge_was_learned_from_is_known(tmp_path: Path) -> None:
    first = open_resources(tmp_path)
    first.judge  # noqa: B018  (learned on first use)
    (folder,) = {key.rpartition("/")[0] for key in first.store.keys("concepts")}
    sha256 = first.source.splits["train"][0].sha256
    assert learned_from(first.store, [sha256]) == [folder]
    assert learned_from(first.store, [first.source.splits["test"][0].sha256]) == []


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"classifier": {"steps": 4, "batch": 8}}, {"source": {"type": "spurious", "train": 42, "validation": 8}}],
    ids=["seed", "classifier", "source"],
)
def test_another_seed_classifier_or_source_has_another_judge(tmp_path: Path, change: dict[str, object]) -> None:
    open_resources(tmp_path).judge  # noqa: B018  (learned on first use)
    other = open_resources(tmp_path, **change)
    progress = Named()
    other.progress = progress
    other.judge  # noqa: B018
    assert [name for name, _ in progress.stages] == ["learn: judge of the image"]
    assert len(other.store.folders("concepts/classifier")) == 2


def test_the_judge_does_not_depend_on_what_is_made_of_it(tmp_path: Path) -> None:
    first = open_resources(tmp_path, name="a", amount={"per_class": 1})
    first.judge  # noqa: B018
    open_resources(tmp_path, name="b", amount={"per_class": 9}, filters=[{"type": "quality"}]).judge  # noqa: B018
    assert len(first.store.folders("concepts/classifier")) == 1


def test_the_ranking_holds_every_training_image_once_the_most_typical_first(tmp_path: Path) -> None:
    resources = open_resources(tmp_path)
    for number, (label, ranked) in enumerate(resources.ranking.items()):
        assert sorted(item.id for item, _ in ranked) == sorted(item.id for item in resources.source.of(label))
        own = [share for _, share in ranked]
        assert own == sorted(own, reverse=True)
        logits = resources.judge.scores(resources.view.images([item for item, _ in ranked])).double().numpy()
        exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
        assert np.allclose(own, exponents[:, number] / exponents.sum(axis=1))


def test_images_are_resized_to_the_resolution_asked_for(tmp_path: Path) -> None:
    resources = open_resources(tmp_path, models={"resolution": 48})
    assert {image.shape for image in resources.view.images(resources.source.splits["test"][:3])} == {(48, 48, 3)}


def test_where_nothing_is_looked_for_the_object_is_everywhere(tmp_path: Path) -> None:
    resources = open_resources(tmp_path)
    masks = resources.view.object_masks(resources.source.splits["test"][:2], None)
    assert all(mask is not None and mask.all() and mask.shape == (32, 32) for mask in masks)


def test_a_judge_of_objects_that_are_nowhere_asks_for_another_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    method = {"type": "text_to_image", "superclass": "shoe"}
    resources = open_resources(tmp_path, method=method)
    monkeypatch.setattr(resources.view, "segment", lambda images, word: [None] * len(images))
    with pytest.raises(SourceError, match=r"'builtin' looked at 40 images for training and found no 'shoe'; choose"):
        resources.object_judge  # noqa: B018


def test_both_judges_are_kept_apart(tmp_path: Path, tiny_checkpoint: Path) -> None:
    resources = open_resources(
        tmp_path,
        models={"text_to_image": str(tiny_checkpoint), "segmenter": "cross-attention"},
        method={"type": "text_to_image", "superclass": "shoe"},
    )
    pictures = resources.view.images(resources.source.splits["test"])
    assert not torch.equal(resources.judge.scores(pictures), resources.object_judge.scores(pictures))
    assert len(resources.store.folders("concepts/classifier")) == 2
    second, progress = again(resources)
    assert torch.equal(second.object_judge.scores(pictures), resources.object_judge.scores(pictures))
    assert progress.stages == []


def test_an_isolated_object_stands_on_grey() -> None:
    mask = np.zeros((32, 32), dtype=np.bool_)
    mask[5:9, 6:8] = True
    alone = isolate(noise(0), mask)
    assert np.array_equal(alone[mask], noise(0)[mask])
    assert set(alone[~mask].ravel().tolist()) == {127}
    assert alone.dtype == np.uint8
