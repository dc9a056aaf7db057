"""A denoiser as a classifier, against its definition; on a tiny checkpoint of each kind of prediction. Three seconds."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.backbones.backbone import Backbone
from pipelines.backbones.loading import open_backbone
from pipelines.backbones.schedule import Levels, add_noise, target
from pipelines.chance import derive
from pipelines.tensors import tensor
from pipelines.vision.diffusion_classifier import DiffusionClassifier, reversed_bits
from tests.builders import CPU, picture
from tests.checkpoints import build, build_3, build_flux

FAMILIES: dict[str, Callable[[Path], Path]] = {
    "epsilon": lambda folder: build(folder, kl=True, prediction="epsilon"),
    "v, inpainting": lambda folder: build(folder, kl=True, inpainting=True),
    "SD 3": build_3,
    "Flux": build_flux,
}
PROMPTS = ["a photo of a red shoe", "a photo of a bag", "a photo of a dress"]
PIXELS = tensor([picture(n) for n in range(4)])


@pytest.fixture(scope="module", params=FAMILIES)
def backbone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return open_backbone(str(FAMILIES[request.param](tmp_path_factory.mktemp("family"))), CPU)


def means(backbone: Backbone, classifier: DiffusionClassifier, count: int) -> torch.Tensor:
    """Mean errors of all images and prompts at the first so many timesteps."""
    every = torch.ones(len(PIXELS), len(PROMPTS), dtype=torch.bool)
    with torch.no_grad():
        latents = backbone.encode_images(PIXELS)
        steps = classifier.timesteps(latents)[:count]
        return torch.stack([classifier.errors(latents, every, at, n) for n, at in enumerate(steps)]).mean(dim=0)


def test_an_error_is_that_of_the_training_loss(backbone: Backbone) -> None:
    """Oracle: the definition, on one image with the noise that its seed says."""
    classifier = DiffusionClassifier(backbone, PROMPTS, [4], 3, seed=5)
    with torch.no_grad():
        latents = backbone.encode_images(PIXELS[:1])
        at = classifier.timesteps(latents)[1]
        found = classifier.errors(latents, torch.ones(1, 3, dtype=torch.bool), at, 7)
        noise = torch.randn(latents.shape[1:], generator=torch.Generator().manual_seed(derive(5, "noise", 7) % 2**63))[None]
        levels = Levels.of([at.level], latents)
        xt = backbone.everywhere(add_noise(latents, noise, levels))
        truth = target(latents, noise, levels, backbone.schedule.prediction)
        for column, prompt in enumerate(PROMPTS):
            prediction = backbone.predict(xt, torch.tensor([at.t]), backbone.encode_prompts([prompt]))
            assert float(found[0, column]) == pytest.approx(float((prediction - truth).square().mean()), rel=1e-3)


def test_margins_are_of_the_mean_errors_and_no_image_depends_on_another(backbone: Backbone) -> None:
    classifier = DiffusionClassifier(backbone, PROMPTS, [4], 3, seed=0)
    own, expected = [0, 1, 2, 0], []
    for column, row in zip(own, means(backbone, classifier, 4).tolist(), strict=True):
        least = min(error for other, error in enumerate(row) if other != column)
        expected.append((least - row[column]) / row[column])
    margins = classifier.margins(PIXELS, own)
    assert margins == pytest.approx(expected, rel=1e-3, abs=1e-6)
    assert classifier.margins(PIXELS[2:3], own[2:3]) == pytest.approx(margins[2:3], rel=1e-3, abs=1e-6)


def test_a_class_that_falls_behind_is_measured_no_further(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three classes two go on; an image whose own is not among them is decided by the first stage."""
    staged = DiffusionClassifier(backbone, PROMPTS, [2, 6], 2, seed=0)
    first = DiffusionClassifier(backbone, PROMPTS, [2], 3, seed=0)
    monkeypatch.setattr(first, "timesteps", staged.timesteps)
    rows: list[int] = []
    predict = backbone.predict

    def counted(xt: torch.Tensor, *arguments: object) -> torch.Tensor:
        rows.append(len(xt))
        return predict(xt, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(backbone, "predict", counted)
    for column in range(3):
        rows.clear()
        own = [column] * 4
        short, long = first.margins(PIXELS, own), staged.margins(PIXELS, own)
        assert sum(rows[:2]) == 24
        last = means(backbone, staged, 2).argmax(dim=1) == column
        for row in range(4):
            if last[row]:
                assert long[row] == pytest.approx(short[row], rel=1e-3, abs=1e-6)
                assert long[row] <= 0


def test_every_beginning_of_the_timesteps_is_spread(backbone: Backbone) -> None:
    assert [place for _, place in sorted((reversed_bits(n, 4), n) for n in range(16))][:4] == [0, 8, 4, 12]
    classifier = DiffusionClassifier(backbone, PROMPTS, [4, 16], 2, seed=0)
    steps = classifier.timesteps(backbone.encode_images(PIXELS[:1]))
    assert len({at.t for at in steps}) == len(steps) == 16
    every = sorted(at.t for at in steps)
    early = sorted(every.index(at.t) for at in steps[:4])
    assert max(np.diff(early)) <= 5
