"""A checkpoint of each family, and a backbone of it that a test may change."""

from pathlib import Path

import pytest
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

from pipelines.backbones.backbone import Backbone
from pipelines.backbones.loading import open_backbone
from tests.builders import CPU
from tests.contracts.families import FAMILIES


@pytest.fixture(scope="session", params=FAMILIES)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return FAMILIES[request.param](tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture
def backbone(checkpoint: Path) -> Backbone:
    return open_backbone(str(checkpoint), CPU)


@pytest.fixture(autouse=True)
def mode(monkeypatch: pytest.MonkeyPatch) -> None:
    """Diffusers draws from the autoencoder's distribution; we take its mode."""
    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode())
