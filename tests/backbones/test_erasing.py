"""Concept erasing: the formula against numpy, what becomes of keys and values, what is refused, and that the bundled model
draws the word no more. Five seconds, and fifteen for the bundled model."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines import spec as specs
from pipelines.backbones.backbone import Backbone
from pipelines.backbones.erasing import PROJECTIONS, RIDGE, embeddings, erasing_matrix
from pipelines.backbones.loading import open_backbone
from pipelines.backbones.revision import revision_of
from pipelines.builtin.checkpoints import resolve
from pipelines.builtin.oracle import Oracle
from pipelines.builtin.world import GARMENTS
from pipelines.engine.engine import Engine
from pipelines.errors import SpecError
from pipelines.records import Request
from pipelines.spec import Erasing
from pipelines.vision.models import Models
from tests.builders import CPU, spec
from tests.checkpoints import build, build_xl

FAMILIES: dict[str, Callable[[Path], Path]] = {"SD": build, "SDXL": build_xl}


def projections(model: Backbone) -> dict[str, torch.Tensor]:
    named = model.denoiser.named_modules()
    return {name: layer.weight.detach().clone() for name, layer in named if name.endswith(PROJECTIONS)}


def test_the_matrix_solves_the_papers_equation() -> None:
    """Equation 7 of the paper, written out for one projection in numpy."""
    rng = np.random.default_rng(0)
    erased, anchors, preserved = (rng.normal(size=(n, 12)) for n in (3, 3, 5))
    weight = rng.normal(size=(7, 12))
    targets = sum(np.outer(weight @ new, old) for old, new in zip(erased, anchors, strict=True))
    targets += sum(np.outer(weight @ one, one) for one in preserved) + RIDGE * weight
    seen = sum(np.outer(one, one) for one in (*erased, *preserved)) + RIDGE * np.eye(12)
    matrix = erasing_matrix(*(torch.from_numpy(each) for each in (erased, anchors, preserved))).numpy()
    assert np.allclose(weight @ matrix, targets @ np.linalg.inv(seen))


def test_without_a_ridge_erased_words_are_their_anchors_and_preserved_ones_themselves() -> None:
    generator = torch.Generator().manual_seed(0)
    erased, anchors, preserved = (torch.randn(n, 12, generator=generator) for n in (3, 3, 5))
    matrix = erasing_matrix(erased, anchors, preserved, ridge=1e-9).float()
    assert torch.allclose(erased @ matrix.T, anchors, atol=1e-4)
    assert torch.allclose(preserved @ matrix.T, preserved, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_keys_and_values_are_edited_and_nothing_else(family: str, tmp_path: Path) -> None:
    folder = FAMILIES[family](tmp_path / "checkpoint")
    revision, plain = revision_of(folder), open_backbone(str(folder), CPU)
    asked = specs.Models(text_to_image=str(folder), erase=Erasing(words=("boot", "dress"), anchor="shoe", preserve=("dog",)))
    edited = Models(asked, CPU).backbone
    sides = {word: embeddings(plain, word).double().numpy() for word in ("boot", "dress", "shoe", "dog", "")}
    erased = np.concatenate([sides["boot"], sides["dress"]])
    preserved = np.concatenate([sides[""], sides["shoe"], sides["dog"]])
    anchors = np.concatenate([sides["shoe"]] * 2)
    normal = erased.T @ erased + preserved.T @ preserved + RIDGE * np.eye(erased.shape[1])
    moved = anchors.T @ erased + preserved.T @ preserved + RIDGE * np.eye(erased.shape[1])
    before, after = plain.denoiser.state_dict(), edited.denoiser.state_dict()
    changed = [name for name, weight in after.items() if not torch.equal(weight, before[name])]
    assert set(changed) == {f"{name}.weight" for name in projections(plain)}
    for name in changed:
        expected = before[name].double().numpy() @ moved @ np.linalg.inv(normal)
        assert np.allclose(after[name].numpy(), expected, atol=1e-4)
    assert revision_of(folder) == revision, "the files are as they were"


def test_what_an_edited_checkpoint_makes_is_stored_apart(tiny_checkpoint: Path) -> None:
    plain = specs.Models(text_to_image=str(tiny_checkpoint))
    words = [{"words": ("boot",)}, {"words": ("dress",)}, {"words": ("boot",), "anchor": "shoe"}]
    words.append({"words": ("boot",), "preserve": ("dress",)})
    edited = [specs.Models(text_to_image=str(tiny_checkpoint), erase=Erasing.model_validate(one)) for one in words]
    revisions = {Models(each, CPU).revision for each in (plain, *edited)}
    assert len(revisions) == 5
    assert Models(plain, CPU).revision == revision_of(tiny_checkpoint)


def test_words_may_stand_alone() -> None:
    models = spec(models={"resolution": 32, "erase": ["boot"]}).models
    assert models.erase == Erasing(words=("boot",))
    for wrong in ([], [" "], {"anchor": "shoe"}):
        with pytest.raises(SpecError, match=r"^models\.erase\.words"):
            spec(models={"resolution": 32, "erase": wrong})


def test_the_bundled_model_draws_an_erased_word_no_more_and_others_as_before() -> None:
    folder, oracle = resolve("builtin", "model"), Oracle()
    plain = open_backbone(folder, CPU)
    erasing = Erasing(words=("bag",), preserve=("dress", "trousers", "shirt", "coat", "shoe"))
    edited = open_backbone(folder, CPU, erasing=erasing)
    for name, weight in projections(plain).items():
        new = dict(edited.denoiser.named_modules())[name].weight
        bag, empty, dress = (embeddings(plain, word) for word in ("bag", "", "dress"))
        assert (bag @ new.T - empty @ weight.T).norm() < 0.1 * (bag @ weight.T - empty @ weight.T).norm()
        assert (dress @ new.T - dress @ weight.T).norm() < 0.1 * (dress @ weight.T).norm()
    recognised = {}
    for word in ("bag", "trousers"):
        requests = [
            Request(n, 0, n, word, "text_to_image", f"a photo of a {word}", size=(64, 64), guidance=2.0, steps=6)
            for n in range(8)
        ]
        drawn = [candidate.image for candidate in Engine(edited, 8).run(requests)]
        recognised[word] = sum(garment == word for garment in oracle.garments(drawn, GARMENTS))
    assert recognised["bag"] <= 1
    assert recognised["trousers"] >= 6
