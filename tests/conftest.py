"""Tiny checkpoints of the real classes, with random weights: everything but the pictures is as in a large one."""

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Models this small gain nothing from a second thread, and lose tenfold where threads wait for a core. Processes that
# tests start inherit it, so that their bytes can be compared.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from diffusers import (
    AutoencoderTiny,
    DDIMScheduler,
    DDPMScheduler,
    StableDiffusionPipeline,
    StableUnCLIPImg2ImgPipeline,
    UNet2DConditionModel,
)
from diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer import StableUnCLIPImageNormalizer
from transformers import (
    CLIPImageProcessorPil,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from pipelines.backbones.stable_diffusion import StableDiffusion
from pipelines.builtin.train.language import build_tokenizer
from tests import parts

OURS = ("COUNTERPOISE_ALL_TESTS", "COUNTERPOISE_FASHION_MNIST")
for name in {name for name in os.environ if name.startswith("COUNTERPOISE_")} - set(OURS):
    del os.environ[name]  # the address and the key of somebody's real service


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Under pytest-xdist a file's tests stay together, and so do all that start whole services, which last longest."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "tests/flow" if nodeid.startswith("tests/flow/") else super()._split_scope(nodeid)

    config.option.loadscopereorder = False
    return Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What lasts longest comes first, so that no process is left alone with it at the end."""
    first = ("tests/flow/", "tests/test_run.py")
    items.sort(key=lambda item: next((n for n, path in enumerate(first) if item.nodeid.startswith(path)), len(first)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end of the run what was not tested for want of which part, and how to get it."""
    for line in parts.summary(report.longrepr[2] for report in terminalreporter.stats.get("skipped", [])):
        terminalreporter.write_line(line, yellow=True)


def vision_tower() -> CLIPVisionModelWithProjection:
    """The picture's half of a CLIP, 8 wide, of 32x32 pictures."""
    torch.manual_seed(1)
    config = CLIPVisionConfig(
        hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=8,
        projection_dim=8,
    )  # fmt: skip
    return CLIPVisionModelWithProjection(config)


def build(folder: Path, *, inpainting: bool = False, unclip: bool = False, prediction: str = "v_prediction") -> Path:
    """A Stable Diffusion checkpoint of 32x32 pictures, 8x8x4 latents and an 8 wide text encoder, or a StableUnCLIP one."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    end = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    text = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=8, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=32, projection_dim=8, bos_token_id=end - 1, eos_token_id=end, pad_token_id=end,
    )  # fmt: skip
    unet = UNet2DConditionModel(
        sample_size=8, in_channels=9 if inpainting else 4, out_channels=4, block_out_channels=(8, 16), layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        attention_head_dim=2, cross_attention_dim=8, norm_num_groups=4,
        **({"class_embed_type": "projection", "projection_class_embeddings_input_dim": 16} if unclip else {}),
    )  # fmt: skip
    vae = AutoencoderTiny(
        encoder_block_out_channels=(8,) * 3, decoder_block_out_channels=(8,) * 3, num_encoder_blocks=(0, 1, 1),
        num_decoder_blocks=(1, 1, 0), latent_channels=4,
    )  # fmt: skip
    scheduler = DDIMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, prediction_type=prediction,
        timestep_spacing="trailing", clip_sample=False, set_alpha_to_one=False, steps_offset=1,
        rescale_betas_zero_snr=prediction == "v_prediction",
    )  # fmt: skip
    if unclip:
        size = {"size": {"height": 32, "width": 32}, "crop_size": {"height": 32, "width": 32}}
        normalizer = StableUnCLIPImageNormalizer(8)
        normalizer.mean.data, normalizer.std.data = torch.randn(1, 8), torch.rand(1, 8) + 0.5
        StableUnCLIPImg2ImgPipeline(
            feature_extractor=CLIPImageProcessorPil(**size), image_encoder=vision_tower(), image_normalizer=normalizer,
            image_noising_scheduler=DDPMScheduler(beta_schedule="squaredcos_cap_v2"), tokenizer=tokenizer,
            text_encoder=CLIPTextModel(text), unet=unet, scheduler=scheduler, vae=vae,
        ).save_pretrained(folder)  # fmt: skip
        return folder
    StableDiffusionPipeline(
        vae=vae, text_encoder=CLIPTextModel(text), tokenizer=tokenizer, unet=unet, scheduler=scheduler,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    ).save_pretrained(folder)  # fmt: skip
    return folder


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_inpainting_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("tiny-inpainting"), inpainting=True, prediction="epsilon")


@pytest.fixture(scope="session")
def tiny_unclip_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("tiny-unclip"), unclip=True)


@pytest.fixture
def tiny_model(tiny_checkpoint: Path) -> StableDiffusion:
    """A fresh one for each test: tests put tokens into it."""
    return StableDiffusion(str(tiny_checkpoint), "cpu")
