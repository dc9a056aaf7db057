"""Measures of a class's evidence, each against an oracle: class activation maps, and finite differences. Three seconds."""

from typing import get_args

import numpy as np
import pytest
import torch
from transformers import ViTConfig, ViTForImageClassification

from pipelines.errors import ModelError
from pipelines.spec import Saliency
from pipelines.tensors import tensor
from pipelines.vision.attribution import NOISE, attribution, feature_layer, grad_cam, smoothgrad
from pipelines.vision.classifier import Classifier
from tests.builders import noise, picture, square

CLASSES = ("boot", "shoe")
BEFORE, AFTER = [picture(n) for n in range(4)], [noise(n) for n in range(4)]
TARGETS = ["boot", "shoe", "shoe", "boot"]
WHOLE = np.ones_like(square())


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    torch.manual_seed(0)
    return Classifier(CLASSES).eval()


def columns() -> torch.Tensor:
    return torch.tensor([CLASSES.index(target) for target in TARGETS])


def rise(classifier: Classifier) -> list[float]:
    """How far the logit of each target rose, by the classifier itself."""
    difference = classifier.scores(AFTER) - classifier.scores(BEFORE)
    return difference.gather(1, columns()[:, None])[:, 0].tolist()


@pytest.mark.parametrize("saliency", ["integrated_gradients", "grad_cam"])
def test_over_the_whole_image_the_parts_add_up_to_the_change_of_the_logit(
    classifier: Classifier, saliency: Saliency
) -> None:
    every = attribution(classifier, BEFORE, AFTER, [WHOLE] * 4, TARGETS, 128, saliency=saliency)
    assert every.tolist() == pytest.approx(rise(classifier), rel=0.02, abs=0.02)


@pytest.mark.parametrize("saliency", get_args(Saliency))
def test_a_region_and_the_rest_add_up_and_no_row_depends_on_another(classifier: Classifier, saliency: Saliency) -> None:
    def of(rows: list[int], mask: np.ndarray[tuple[int, int], np.dtype[np.bool_]]) -> torch.Tensor:
        before, after, targets = ([part[row] for row in rows] for part in (BEFORE, AFTER, TARGETS))
        return attribution(
            classifier, before, after, [mask] * len(rows), targets, 4, saliency=saliency, seeds=[7 + row for row in rows]
        )

    together, inside, outside = of([0, 1, 2, 3], WHOLE), of([0, 1, 2, 3], square()), of([0, 1, 2, 3], ~square())
    assert torch.allclose(inside + outside, together, atol=1e-4)
    assert (inside.abs() > 1e-4).all()
    assert torch.allclose(torch.cat([of([row], square()) for row in (2, 0)]), inside[[2, 0]], atol=1e-4)


def test_grad_cam_is_the_class_activation_map_where_the_network_ends_in_a_mean_and_a_linear_layer(
    classifier: Classifier,
) -> None:
    """Oracle: CAM (Zhou et al., CVPR 2016), the last layer's weights applied to every cell of the feature map."""
    maps: list[torch.Tensor] = []
    layer = feature_layer(classifier, tensor(AFTER[:1]))
    hook = layer.register_forward_hook(lambda _, __, output: maps.append(output.detach()))
    classifier.scores(AFTER)
    classifier.scores(BEFORE)
    hook.remove()
    weights = classifier.last_layer.weight[columns()]
    after, before = (torch.einsum("nk,nkhw->nhw", weights, part) / (part.shape[-1] * part.shape[-2]) for part in maps)
    found = grad_cam(classifier, tensor(BEFORE), tensor(AFTER), columns(), 1, range(4))[:, 0]
    cells = found.unflatten(1, (2, 16)).unflatten(3, (2, 16)).sum(dim=(2, 4))  # of 32 x 32 pixels, 2 x 2
    assert cells.sum(dim=(1, 2)).tolist() == pytest.approx((after - before).sum(dim=(1, 2)).tolist(), abs=1e-4)
    corners = found[:, [0, 0, -1, -1], [0, -1, 0, -1]] * 16 * 16  # bilinear: a corner pixel has its cell's value
    assert torch.allclose(corners, (after - before).flatten(1), atol=1e-4)


def test_smoothgrad_is_the_mean_slope_at_noisy_copies_in_the_change_s_direction(classifier: Classifier) -> None:
    """Oracle: finite differences of the logit, in double precision."""
    exact = Classifier(CLASSES).eval()
    exact.load_state_dict(classifier.state_dict())
    exact.double()
    before, after, seeds, copies = tensor(BEFORE).double(), tensor(AFTER).double(), [3, 1, 4, 5], 3
    found = smoothgrad(exact, before, after, columns(), copies, seeds).sum(dim=(1, 2, 3))
    for row, seed in enumerate(seeds):
        generator, slopes = torch.Generator().manual_seed(seed), []
        for _ in range(copies):
            copy = after[row] + 2 * NOISE * torch.randn(after.shape[1:], generator=generator)
            ahead, behind = (copy + sign * 1e-7 * (after[row] - before[row]) for sign in (1, -1))
            with torch.no_grad():
                logits = exact(torch.stack([ahead, behind]))[:, columns()[row]]
            slopes.append(float(logits[0] - logits[1]) / 2e-7)
        assert float(found[row]) == pytest.approx(np.mean(slopes), rel=1e-3, abs=1e-4)


def test_a_network_of_tokens_has_no_feature_map() -> None:
    torch.manual_seed(0)
    classifier = Classifier(CLASSES)
    config = ViTConfig(
        image_size=32, patch_size=8, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    classifier.net = ViTForImageClassification(config)
    with pytest.raises(ModelError, match=r"'grad_cam' needs .* ViTForImageClassification does not; give integrated"):
        attribution(classifier, BEFORE, AFTER, [WHOLE] * 4, TARGETS, 2, saliency="grad_cam")
    assert attribution(classifier, BEFORE, AFTER, [WHOLE] * 4, TARGETS, 2, saliency="smoothgrad").shape == (4,)
