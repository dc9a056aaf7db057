"""The estimate of GPU memory, against what was measured (docs/real-checkpoints.md), and what it reads. Costs 3 seconds."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel, SD3Transformer2DModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, T5Config, T5EncoderModel

from pipelines.backbones.checkpoints import read_models
from pipelines.backbones.description import side_by_side
from pipelines.backbones.inspection import inspect
from pipelines.backbones.loading import open_backbone
from pipelines.backbones.memory import memory_of, unet_memory
from pipelines.backbones.parameters import COUNTS
from pipelines.spec import FurtherCheckpoint, Models
from tests.builders import CPU
from tests.checkpoints import build, build_3, build_flux, build_xl
from tests.single_files import single_file

SD = unet_memory(halves=943_000_000, fulls=123_000_000, channels=320, side=512, cell=8)
XL = unet_memory(halves=2_651_000_000, fulls=818_000_000, channels=320, side=1024, cell=8)


@pytest.mark.parametrize(
    ("estimate", "measured"),
    [
        (SD.generating(32), 20 - 2),
        (XL.generating(16), 47 - 7),
        (SD.learning_tokens(4), 7 - 2),
        (SD.learning_lora(4), 9 - 2),
    ],
)
def test_it_is_near_what_was_measured_without_the_weights_beside(estimate: float, measured: float) -> None:
    assert estimate == pytest.approx(measured, rel=0.1)


def test_the_numbers_are_those_of_the_checkpoint(tmp_path: Path) -> None:
    for folder in (build(tmp_path / "sd", kl=True), build_xl(tmp_path / "xl", variant="fp16")):
        file = single_file(folder, tmp_path / f"{folder.name}.safetensors") if folder.name == "sd" else folder
        backbone = open_backbone(str(folder), CPU)
        halves = sum(weight.numel() for part in (backbone.denoiser, backbone.vae) for weight in part.parameters())
        fulls = sum(weight.numel() for encoder in backbone.text_encoders for weight in encoder.model.parameters())
        for path in (folder, file):
            memory = memory_of(path, inspect(str(folder)).folder, 32)
            assert memory == unet_memory(halves, fulls, channels=8, side=32, cell=4)


def test_without_weights_there_is_none(tmp_path: Path) -> None:
    folder = build(tmp_path)
    for file in folder.rglob("*.safetensors"):
        file.unlink()
    assert memory_of(folder, folder, 32) is None


def numbers(model: Any) -> int:
    """Of all parameters, and of the table of positions of Stable Diffusion 3, which is loaded with them."""
    tables = sum(table.numel() for name, table in model.named_buffers() if name == "pos_embed.pos_embed")
    return sum(weight.numel() for weight in model.parameters()) + int(tables)


@pytest.mark.parametrize("build", [build_3, lambda folder: build_3(folder, t5_encoder=False), build_flux])
def test_the_numbers_of_a_transformer_s_checkpoint_follow_from_its_configurations(
    build: Callable[[Path], Path], tmp_path: Path
) -> None:
    folder = build(tmp_path)
    backbone: Any = open_backbone(str(folder), CPU)
    clip = [encoder.model for encoder in backbone.text_encoders] or [backbone.clip.model]
    halves = [backbone.denoiser, backbone.vae, *([backbone.t5.model] if backbone.t5 else [])]
    for file in folder.rglob("*.safetensors"):
        file.unlink()
    memory = memory_of(folder, folder, 32)
    assert memory is not None
    assert (memory.halves, memory.fulls) == (sum(map(numbers, halves)), sum(map(numbers, clip)))


SD_3 = {"attention_head_dim": 64, "caption_projection_dim": 1536, "num_layers": 24, "num_attention_heads": 24}
SD_35 = {"attention_head_dim": 64, "caption_projection_dim": 2432, "num_layers": 38, "num_attention_heads": 38}
DUAL = {"dual_attention_layers": tuple(range(13)), "qk_norm": "rms_norm", "pos_embed_max_size": 384}
WIDE = {"vocab_size": 49408, "max_position_embeddings": 77, "projection_dim": 1280, "hidden_size": 1280}
XXL = {"vocab_size": 32128, "d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64}
VAE = {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "latent_channels": 16, "use_quant_conv": False}
VAE |= {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}


@pytest.mark.parametrize(
    ("model", "config", "billions"),
    [
        (SD3Transformer2DModel, {**SD_3, "out_channels": 16, "pos_embed_max_size": 192}, 2.03 + 0.06),
        (SD3Transformer2DModel, {**SD_3, **DUAL}, 2.24 + 0.23),
        (SD3Transformer2DModel, {**SD_35, "pos_embed_max_size": 192, "qk_norm": "rms_norm"}, 8.06 + 0.09),
        (FluxTransformer2DModel, {"guidance_embeds": True}, 11.9),
        (FluxTransformer2DModel, {}, 11.9),
        (AutoencoderKL, VAE, 0.084),
    ],
    ids=["SD 3 medium", "SD 3.5 medium", "SD 3.5 large", "Flux dev", "Flux schnell", "autoencoder"],
)
def test_those_of_the_published_sizes_too(model: Any, config: dict[str, Any], billions: float) -> None:
    with torch.device("meta"):
        made = model(**config)
    count = COUNTS[model.__name__](dict(made.config))
    assert count == numbers(made)
    assert count / 1e9 == pytest.approx(billions, rel=0.02)


def test_those_of_the_published_text_encoders_too() -> None:
    clip = CLIPTextConfig(**WIDE, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=20)
    t5 = T5Config(**XXL, feed_forward_proj="gated-gelu")
    with torch.device("meta"):
        models = CLIPTextModel(clip), CLIPTextModelWithProjection(clip), T5EncoderModel(t5)
    for model, billions in zip(models, (0.693, 0.695, 4.76), strict=True):
        count = COUNTS[type(model).__name__](model.config.to_dict())
        assert count == numbers(model)
        assert count / 1e9 == pytest.approx(billions, rel=0.02)


def test_checkpoints_that_share_the_images_need_all_weights_and_the_largest_batch(tmp_path: Path) -> None:
    folders = [build(tmp_path / "sd"), build_xl(tmp_path / "xl"), build_flux(tmp_path / "flux")]
    apart = [memory_of(folder, folder, 32) for folder in folders]
    known = [memory for memory in apart if memory is not None]
    assert len(known) == 3
    further = [FurtherCheckpoint(text_to_image=str(folder), share=0.3) for folder in folders[1:]]
    together = side_by_side(read_models(Models(text_to_image=str(folders[0]), further=tuple(further))))
    assert together is not None
    assert together.weights == pytest.approx(sum(memory.weights for memory in known))
    batches = [memory.predictions * memory.prediction for memory in known]
    assert together.predictions * together.prediction == max(batches) > batches[0]


def test_more_pixels_rows_and_blocks_take_more(tmp_path: Path) -> None:
    folder = build_flux(tmp_path)
    small, large = memory_of(folder, folder, 64), memory_of(folder, folder, 128)
    assert small is not None
    assert large is not None
    assert (small.predictions, small.weights) == (1, large.weights)
    tokens = (64 // 8) ** 2 + 512, (128 // 8) ** 2 + 512
    assert small.prediction / large.prediction == pytest.approx(tokens[0] / tokens[1])
    assert large.learning_lora(2) > large.learning_lora(1) > large.weights
    config = json.loads((folder / "transformer/config.json").read_text())
    (folder / "transformer/config.json").write_text(json.dumps({**config, "num_single_layers": 9}))
    deeper = memory_of(folder, folder, 64)
    assert deeper is not None
    assert (deeper.lora > small.lora, deeper.prediction == small.prediction) == (True, True)
    (folder / "transformer/config.json").write_text("{}")
    assert memory_of(folder, folder, 64) is None
