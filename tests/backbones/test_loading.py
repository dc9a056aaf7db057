"""Opening checkpoints as they are published, and refusing the others before a weight is read."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL

from pipelines.backbones.families import FLUX, STABLE_DIFFUSION_3, STABLE_DIFFUSION_XL, Family
from pipelines.backbones.inspection import inspect
from pipelines.backbones.layout import Layout
from pipelines.backbones.loading import open_backbone
from pipelines.backbones.stable_diffusion import StableDiffusion
from pipelines.backbones.stable_diffusion_xl import StableDiffusionXL
from pipelines.errors import ModelError
from pipelines.spec import Machine, Precision
from tests.builders import CPU, picture
from tests.checkpoints import build_3, build_flux, build_xl


@pytest.fixture(scope="module")
def xl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_xl(tmp_path_factory.mktemp("xl"))


def changed(checkpoint: Path, folder: Path, file: str, **fields: Any) -> Path:
    """A copy without weights, some fields of one of its configurations changed."""
    shutil.copytree(checkpoint, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    config = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**config, **fields}))
    return folder


def test_the_family_follows_from_the_checkpoint(tiny_checkpoint: Path, xl: Path) -> None:
    assert isinstance(open_backbone(str(tiny_checkpoint), CPU), StableDiffusion)
    assert isinstance(open_backbone(str(xl), CPU), StableDiffusionXL)


def test_the_configuration_alone_says_what_it_is(tiny_inpainting_checkpoint: Path, xl: Path, tmp_path: Path) -> None:
    found = inspect(str(changed(xl, tmp_path / "copy", "model_index.json")))
    assert (found.family, found.layout.resolution, found.layout.inpainting) == (STABLE_DIFFUSION_XL, 32, False)
    assert inspect(str(tiny_inpainting_checkpoint)).layout.inpainting


@pytest.mark.parametrize(
    ("build", "family", "kind", "largest"),
    [(build_3, STABLE_DIFFUSION_3, "StableDiffusion3Pipeline", 64), (build_flux, FLUX, "FluxPipeline", None)],
)
def test_so_it_does_of_a_transformer(
    build: Callable[[Path], Path], family: Family, kind: str, largest: int | None, tmp_path: Path
) -> None:
    found = inspect(str(changed(build(tmp_path / "whole"), tmp_path / "copy", "model_index.json")))
    assert (found.family, found.kind, found.layout) == (family, kind, Layout(32, 4, 16, patch_size=2, largest=largest))


def test_a_checkpoint_of_half_precision_files_alone_is_the_same(xl: Path, tmp_path: Path) -> None:
    half = open_backbone(str(build_xl(tmp_path, variant="fp16")), CPU)
    assert list(tmp_path.glob("unet/*.fp16.safetensors"))
    plain = open_backbone(str(xl), CPU)
    assert all(torch.equal(weight, plain.denoiser.state_dict()[name]) for name, weight in half.denoiser.state_dict().items())


@pytest.mark.parametrize(
    ("file", "fields", "message"),
    [
        (
            "model_index.json",
            {
                "_class_name": "WuerstchenCombinedPipeline",
                "unet": [None, None],
                "decoder": ["wuerstchen", "WuerstchenDiffNeXt"],
            },
            r"is a WuerstchenCombinedPipeline; give one of Stable Diffusion 1\.x, 2\.x or XL",
        ),
        (
            "model_index.json",
            {"scheduler": ["diffusers", "LCMScheduler"]},
            r"distilled .* \(LCMScheduler\).* distilled from",
        ),
        ("unet/config.json", {"time_cond_proj_dim": 8}, "is distilled to a few steps"),
        ("unet/config.json", {"in_channels": 8}, r"its UNet has 8 input channels, and only latents \(4\).*; give a text-to"),
    ],
    ids=["another family", "LCM's scheduler", "LCM's UNet", "edited images"],
)
def test_what_cannot_be_used_is_refused_before_a_weight_is_read(
    file: str, fields: dict[str, Any], message: str, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=message):
        open_backbone(str(changed(tiny_checkpoint, tmp_path / "copy", file, **fields)), CPU)


@pytest.mark.parametrize(
    ("build", "file", "fields", "message"),
    [
        (
            build_3,
            "transformer/config.json",
            {"in_channels": 33},
            r"33 input channels a latent cell, and only latents \(16\)",
        ),
        (build_flux, "transformer/config.json", {"in_channels": 384}, r"96 input channels .*; give a text-to-image"),
        (
            build_flux,
            "model_index.json",
            {"scheduler": ["diffusers", "FlowMatchHeunDiscreteScheduler"]},
            "FlowMatchHeunDiscreteScheduler: of flow matching, only FlowMatchEulerDiscreteScheduler is supported",
        ),
        (build_flux, "model_index.json", {"text_encoder_2": [None, None]}, r"is a FluxPipeline; give one of"),
    ],
    ids=["SD 3 for inpainting", "Flux Fill", "another solver", "without T5"],
)
def test_so_are_those_with_a_transformer(
    build: Callable[[Path], Path], file: str, fields: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=message):
        inspect(str(changed(build(tmp_path / "whole"), tmp_path / "copy", file, **fields)))


def test_pickles_are_not_read(tiny_checkpoint: Path, tmp_path: Path) -> None:
    folder = changed(tiny_checkpoint, tmp_path / "copy", "model_index.json")
    torch.save({}, folder / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(ModelError, match="cannot be loaded"):
        open_backbone(str(folder), CPU)


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp16", torch.float32), ("bf16", torch.bfloat16), ("fp32", torch.float32)]
)
def test_an_autoencoder_that_overflows_in_fp16_runs_in_float32(precision: Precision, dtype: torch.dtype, xl: Path) -> None:
    backbone = open_backbone(str(xl), Machine(device="cpu", precision=precision))
    assert backbone.vae_dtype == dtype
    latents = backbone.encode_images(torch.zeros(1, 3, 32, 32))
    assert latents.dtype == torch.float32
    assert backbone.decode_latents(latents).isfinite().all()


def test_a_large_image_goes_through_the_autoencoder_in_tiles(xl: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone, plain = open_backbone(str(xl), CPU), AutoencoderKL.from_pretrained(xl, subfolder="vae")
    pixels = torch.from_numpy(picture(0, 96)[:64].copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    monkeypatch.setattr("pipelines.backbones.backbone.VAE_PIXELS", 32 * 32)
    plain.enable_tiling()
    with torch.no_grad():
        latents = plain.encode(pixels).latent_dist.mode()
        expected = plain.decode(latents).sample
    factor = plain.config.scaling_factor
    assert torch.allclose(backbone.encode_images(pixels), latents * factor, atol=1e-5)
    assert torch.allclose(backbone.decode_latents(latents * factor), expected, atol=1e-4)
    monkeypatch.undo()
    assert backbone.encode_images(pixels).shape == latents.shape
    assert not backbone.vae.use_tiling
