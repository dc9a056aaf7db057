"""The bundled text-to-image model and its adapter, trained a little further from those in the package. Takes 20 seconds."""

from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file

from pipelines.backbones.loading import open_backbone
from pipelines.builtin.checkpoints import ADAPTER, WEIGHTS, resolve
from pipelines.builtin.train import adapter, text_to_image
from tests.builders import CPU
from tests.parts import FASHION_MNIST

MODEL = Path(resolve("builtin", "model"))


def test_the_text_to_image_model_goes_on_from_the_bundle(tmp_path: Path) -> None:
    FASHION_MNIST.path()
    text_to_image.main(tmp_path, count=80, steps=3, batch=8, start=MODEL, workers=1)
    trained, before = open_backbone(str(tmp_path / "model"), CPU), open_backbone(str(MODEL), CPU)
    assert trained.reads_as(before)
    prompts = ["a photo of a red shoe on grass", "a picture of one very tall bag at night"]
    tokenizers = [each.text_encoders[0].tokenizer for each in (trained, before)]
    assert tokenizers[0](prompts).input_ids == tokenizers[1](prompts).input_ids
    moved = (trained.denoiser.conv_in.weight - before.denoiser.conv_in.weight).abs().max()
    assert 0 < moved < 0.01
    configs = [file.read_text() for file in (tmp_path / "model").glob("*/config.json")]
    assert not any(str(WEIGHTS) in config for config in configs), "paths of this machine"


def test_the_adapter_is_trained_into_a_file_that_diffusers_loads(tmp_path: Path) -> None:
    FASHION_MNIST.path()
    adapter.main(tmp_path, count=80, steps=2, batch=8, workers=1)
    pipeline = StableDiffusionPipeline.from_pretrained(MODEL, safety_checker=None)
    pipeline.load_ip_adapter(str(tmp_path / "adapter"), subfolder="", weight_name=ADAPTER, image_encoder_folder=None)
    new, bundled = (load_file(folder / ADAPTER) for folder in (tmp_path / "adapter", WEIGHTS / "adapter"))
    assert {key: value.shape for key, value in new.items()} == {key: value.shape for key, value in bundled.items()}
    assert all(torch.isfinite(value).all() for value in new.values())
