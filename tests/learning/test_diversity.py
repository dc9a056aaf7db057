"""DomainStudio's losses against their formulas in numpy, and what they keep of a model. Costs 5 s."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor

from pipelines.backbones.backbone import Backbone
from pipelines.backbones.loading import open_backbone
from pipelines.learning.diversity import detail, distance_loss, diversity_loss
from pipelines.learning.lora import LoraTraining
from pipelines.spec import Lora
from tests.builders import CPU, picture
from tests.learning.test_lora import learning, weights_after

Array = NDArray[np.float64]


def images(seed: int, count: int = 4) -> Array:
    return np.random.default_rng(seed).normal(size=(count, 2, 4, 6))


def haar(x: Array) -> Array:
    """LH + HL + HH: products with every filter in each block of 2 x 2 cells."""
    low, high = np.array([1, 1]) / np.sqrt(2), np.array([-1, 1]) / np.sqrt(2)
    filters = [np.outer(low, high), np.outer(high, low), np.outer(high, high)]
    n, c, h, w = x.shape
    blocks = x.reshape(n, c, h // 2, 2, w // 2, 2)
    return sum(np.einsum("nchiwj,ij->nchw", blocks, each) for each in filters)


def distances(adapted: Array, original: Array) -> float:
    terms = []
    for i in range(len(adapted)):
        pair = []
        for x in (adapted, original):
            flat = x.reshape(len(x), -1)
            cosines = [
                flat[i] @ flat[j] / (np.linalg.norm(flat[i]) * np.linalg.norm(flat[j])) for j in range(len(x)) if j != i
            ]
            pair.append(np.exp(cosines) / np.exp(cosines).sum())
        terms.append(pair[0] * np.log(pair[0] / pair[1]))
    return float(np.mean(terms))


def of(array: Array) -> Tensor:
    return torch.from_numpy(array)


def test_the_formulas() -> None:
    adapted, original, x0 = images(1), images(2), images(3)
    assert np.allclose(detail(of(adapted)), haar(adapted))
    assert float(distance_loss(of(adapted), of(original))) == pytest.approx(distances(adapted, original))
    expected = distances(adapted, original) + distances(haar(adapted), haar(original))
    expected += 0.001 * float(np.mean((haar(adapted) - haar(x0)) ** 2))
    assert float(diversity_loss(of(adapted), of(original), of(x0))) == pytest.approx(expected)


def test_an_odd_row_and_column_have_no_detail() -> None:
    x = images(1)
    assert torch.equal(detail(of(np.pad(x, ((0, 0), (0, 0), (0, 1), (0, 1))))), detail(of(x)))


def test_two_images_have_no_relative_distance() -> None:
    adapted = of(images(1, 2)).requires_grad_()
    loss = distance_loss(adapted, of(images(2, 2)))
    loss.backward()
    assert loss == 0
    assert not adapted.grad.any()


@pytest.mark.parametrize(
    ("fields", "remedy"), [({"scope": "image"}, "set it to 0"), ({"batch": 2}, "batch is 2; set it to 3 or more")]
)
def test_what_has_no_distances_is_refused(fields: dict[str, object], remedy: str) -> None:
    with pytest.raises(ValidationError, match=remedy):
        Lora.model_validate({"keep_diversity": 100, **fields})


def training(backbone: Backbone, **changes: float) -> LoraTraining:
    pictures = [picture(seed) for seed in range(6)]
    spec = Lora.model_validate({"rank": 2, "batch": 4, "steps": 30, "learning_rate": 0.05, **changes})
    return LoraTraining(backbone, pictures, ["a photo of a shoe"] * 6, spec, seed=0)


def test_at_first_only_the_detail_counts(tiny_checkpoint: Path) -> None:
    """The adapted model is the original one then; in parts, too, whose distances are of fewer images."""
    begun = training(open_backbone(str(tiny_checkpoint), CPU), keep_diversity=100)
    for parts in (1, 2, 8):
        losses = list(begun.diversity_losses(torch.Generator().manual_seed(1), parts))
        assert len(losses) == min(parts, 4)
        assert all(0 < loss.item() < 100 for loss in losses)
    before = [weight.detach().clone() for weight in begun.adapters.values()]
    begun.trainer.step()
    assert all(weight.requires_grad for weight in begun.adapters.values())
    assert any(not torch.equal(weight, was) for weight, was in zip(begun.adapters.values(), before, strict=True))
    backbone, rows = begun.backbone, torch.arange(4)
    xt, t = begun.latents[rows], torch.full((4,), 500)
    with torch.no_grad():
        adapted = begun.predict(xt, t, rows)
        with begun.without():
            original = begun.predict(xt, t, rows)
        begun.stop()
        assert torch.equal(begun.predict(xt, t, rows), original)
    assert not torch.allclose(adapted, original, atol=1e-3)
    assert backbone.denoiser is begun.parts["unet"]


def test_distances_stay_nearer_to_the_original_models(tiny_checkpoint: Path) -> None:
    backbone, apart = open_backbone(str(tiny_checkpoint), CPU), {}
    for weight in (0.0, 1000.0):
        begun = training(backbone, keep_diversity=weight)
        for _ in range(30):
            begun.trainer.step()
        begun.spec = begun.spec.model_copy(update={"keep_diversity": 1.0})
        with torch.no_grad():
            drawn = (begun.diversity_losses(torch.Generator().manual_seed(seed), 1) for seed in range(8))
            apart[weight] = float(sum(loss for losses in drawn for loss in losses))
        begun.stop()
    assert apart[1000.0] < 0.7 * apart[0.0]


def test_without_it_the_address_is_that_of_older_versions(tmp_path: Path, tiny_checkpoint: Path) -> None:
    for changes in ({}, {"keep_diversity": 10.0, "batch": 3}):
        weights_after(learning(tmp_path, tiny_checkpoint, **changes), tmp_path)
    records = sorted((path.read_text() for path in tmp_path.glob("concepts/lora/*/curve.json")), key=len)
    assert ["keep_diversity" in record for record in records] == [False, True]
