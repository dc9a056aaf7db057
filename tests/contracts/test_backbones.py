"""Every family of checkpoints, tiny and of the real classes, against its diffusers pipelines: the same noise gives the same
images, and what is learned of it is loaded by plain diffusers. Costs twelve seconds."""

from collections.abc import Callable
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from diffusers import (
    AutoPipelineForImage2Image,
    AutoPipelineForInpainting,
    AutoPipelineForText2Image,
    DDIMScheduler,
    DiffusionPipeline,
    FlowMatchEulerDiscreteScheduler,
)
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from safetensors.torch import load, save_file
from torch import Tensor

from pipelines.backbones.backbone import Backbone
from pipelines.backbones.image_prompts import adapter_files
from pipelines.backbones.loading import open_backbone
from pipelines.backbones.stable_diffusion_3 import StableDiffusion3
from pipelines.builtin.train.adapter import exported, install
from pipelines.engine.engine import Engine
from pipelines.learning.lora import LoraTraining
from pipelines.learning.textual_inversion import EMBEDS, TextualInversion
from pipelines.prompts import token_names, token_phrase
from pipelines.records import Image, ImagePrompt, Item, Request
from pipelines.spec import Inversion, Lora
from pipelines.tensors import tensor
from pipelines.vision.segmentation import CrossAttention
from tests.builders import picture, square
from tests.checkpoints import build, build_3, build_flux, build_xl, vision_tower

ITEM = Item("a.png", "0" * 64, "shoe", None)
FAMILIES: dict[str, Callable[[Path], Path]] = {
    "SD 1": lambda folder: build(folder, kl=True, prediction="epsilon"),
    "SD 2, v": lambda folder: build(folder, kl=True),
    "SD, zero terminal SNR": build,
    "SD inpainting": lambda folder: build(folder, inpainting=True, kl=True, prediction="epsilon"),
    "SDXL": build_xl,
    "SDXL inpainting": lambda folder: build_xl(folder, inpainting=True),
    "SD 3.5": build_3,
    "SD 3, no T5": lambda folder: build_3(folder, t5_encoder=False),
    "Flux dev": build_flux,
    "Flux schnell": lambda folder: build_flux(folder, guidance=False),
}
UNETS = [name for name in FAMILIES if "SD 3" not in name and "Flux" not in name]
of_unets = pytest.mark.parametrize("checkpoint", UNETS, indirect=True)
of_tokens = pytest.mark.parametrize("checkpoint", [name for name in FAMILIES if "Flux" not in name], indirect=True)
LIMIT = 2  # grey levels by which a pixel may differ


@pytest.fixture(scope="module", params=FAMILIES)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return FAMILIES[request.param](tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture
def backbone(checkpoint: Path) -> Backbone:
    return open_backbone(str(checkpoint), "cpu")


def plain(**changes: Any) -> Request:
    return replace(Request(0, 0, 100, "shoe", "", "a photo of a red shoe", guidance=3.0, steps=6), **changes)


def ours(backbone: Backbone, request: Request) -> Image:
    return next(iter(Engine(backbone).run([request]))).image


def pipeline(kind: Any, checkpoint: Path) -> Any:
    """Diffusers' own, with the solver that we have, of the checkpoint's schedule."""
    index = DiffusionPipeline.load_config(checkpoint)
    opened = kind.from_pretrained(checkpoint, **{part: None for part in index if index[part] == [None, None]})
    if not isinstance(opened.scheduler, FlowMatchEulerDiscreteScheduler):
        opened.scheduler = DDIMScheduler.from_config(opened.scheduler.config, clip_sample=False)
    opened.set_progress_bar_config(disable=True)
    return opened


def theirs(opened: Any, request: Request, **inputs: Any) -> Image:
    if "height" in signature(opened.__call__).parameters:
        inputs = {"height": 32, "width": 32, **inputs}
    array = opened(
        request.prompt, num_inference_steps=request.steps, guidance_scale=request.guidance, output_type="np",
        generator=torch.Generator().manual_seed(request.seed), **inputs,
    ).images[0]  # fmt: skip
    return np.round(array * 255).astype(np.uint8)


@pytest.fixture(autouse=True)
def mode(monkeypatch: pytest.MonkeyPatch) -> None:
    """Diffusers draws from the autoencoder's distribution; we take its mode."""
    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode())


def near(some: Image, other: Image) -> bool:
    return bool(np.abs(some.astype(int) - other.astype(int)).max() <= LIMIT)


def text_to_image(backbone: Backbone, checkpoint: Path) -> tuple[Any, dict[str, Any]]:
    """The pipeline that draws from a prompt alone, and what it takes beside: an inpainting one a grey image, and a mask of
    all of it."""
    if not backbone.inpainting:
        return pipeline(AutoPipelineForText2Image, checkpoint), {}
    inputs = {"image": torch.full((1, 3, 32, 32), 0.5), "mask_image": torch.ones(1, 1, 32, 32), "strength": 1.0}
    return pipeline(AutoPipelineForInpainting, checkpoint), inputs


def test_text_to_image(backbone: Backbone, checkpoint: Path) -> None:
    opened, inputs = text_to_image(backbone, checkpoint)
    assert near(ours(backbone, plain()), theirs(opened, plain(), **inputs))
    assert not near(ours(backbone, plain()), ours(backbone, plain(prompt="a photo of a blue bag")))


def test_without_guidance(backbone: Backbone, checkpoint: Path) -> None:
    opened, inputs = text_to_image(backbone, checkpoint)
    assert near(ours(backbone, plain(guidance=1.0)), theirs(opened, plain(guidance=1.0), **inputs))


@of_tokens
def test_a_negative_prompt(backbone: Backbone, checkpoint: Path) -> None:
    request = plain(negative_prompt="a blue bag")
    opened, inputs = text_to_image(backbone, checkpoint)
    expected = theirs(opened, request, negative_prompt=request.negative_prompt, **inputs)
    assert near(ours(backbone, request), expected)
    assert not np.array_equal(ours(backbone, plain()), expected)


@pytest.mark.parametrize("strength", [0.5, 0.75])
def test_image_to_image(strength: float, backbone: Backbone, checkpoint: Path) -> None:
    """Of 6 steps, 0.75 keeps 4 of diffusion and 5 of flow matching, as their pipelines do."""
    request = plain(source=ITEM, image=picture(), strength=strength)
    inputs = {"image": PIL.Image.fromarray(picture()), "strength": strength}
    if backbone.inpainting:
        opened, blank = text_to_image(backbone, checkpoint)
        expected = theirs(opened, request, **{**blank, **inputs})
    else:
        expected = theirs(pipeline(AutoPipelineForImage2Image, checkpoint), request, **inputs)
    assert near(ours(backbone, request), expected)


def test_inpainting(backbone: Backbone, checkpoint: Path) -> None:
    request = plain(source=ITEM, image=picture(), mask=square())
    opened = pipeline(AutoPipelineForInpainting, checkpoint)
    if isinstance(backbone, StableDiffusion3):  # diffusers 0.42 forgets to shift what this one of its pipelines decodes
        decode, shift = opened.vae.decode, opened.vae.config.shift_factor
        opened.vae.decode = lambda latents, **options: decode(latents + shift, return_dict=False)
    image, mask = PIL.Image.fromarray(picture()), PIL.Image.fromarray(square())
    expected = theirs(opened, request, image=image, mask_image=mask, strength=1.0)
    inside = slice(12, 20)  # its border is ours to blend
    assert near(ours(backbone, request)[inside, inside], expected[inside, inside])


def test_a_batch_gives_what_one_request_at_a_time_gives(backbone: Backbone) -> None:
    requests = [
        plain(),
        plain(index=1, guidance=1.0, steps=3, prompt="a bag on grass"),
        plain(index=2, source=ITEM, image=picture(1), mask=square(), strength=0.7),
    ]
    together = {c.request.index: c.image for c in Engine(backbone, 3).run(requests)}
    assert all(near(together[one.index], ours(backbone, one)) for one in requests)


def test_the_autoencoder_takes_a_few_images_at_a_time(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    images = tensor([picture(seed) for seed in range(5)])
    latents = backbone.encode_images(images)
    pixels = backbone.decode_latents(latents)
    monkeypatch.setattr("pipelines.backbones.backbone.VAE_PIXELS", 2 * 32 * 32)
    sizes: list[int] = []
    encode, decode = backbone.vae.encode, backbone.vae.decode
    monkeypatch.setattr(backbone.vae, "encode", lambda x: (sizes.append(len(x)), encode(x))[1])
    monkeypatch.setattr(backbone.vae, "decode", lambda x: (sizes.append(len(x)), decode(x))[1])
    assert torch.allclose(backbone.encode_images(images), latents, atol=1e-5)
    assert torch.allclose(backbone.decode_latents(latents), pixels, atol=1e-5)
    assert sizes == [2, 2, 1] * 2


@of_tokens
def test_a_token_is_learned_and_plain_diffusers_reads_it(backbone: Backbone, checkpoint: Path) -> None:
    spec = Inversion(vectors=2, steps=2, batch=2)
    training = TextualInversion(backbone, [picture(), picture(1)], [square()] * 2, "<boot>", "shoe", spec, seed=3)
    start = [vectors.detach().clone() for vectors in training.vectors]
    training.trainer.step()
    moved = [(now - was).abs().sum(dim=1) for now, was in zip(training.vectors, start, strict=True)]
    assert all((each > 0).all() for each in moved), "every vector of every text encoder is trained"
    files = load(training.files({}, [])[EMBEDS])
    backbone.set_token("<boot>", [vectors.detach() for vectors in training.vectors])
    prompt = f"a photo of a {token_phrase('<boot>', 2, 'shoe')}"
    opened = pipeline(AutoPipelineForInpainting, checkpoint)
    texts = ["a photo of a <boot> shoe"]
    if isinstance(backbone, StableDiffusion3):  # its pipelines load no tokens: transformers does. T5 reads the word alone.
        add_token(opened.text_encoder, opened.tokenizer, files["clip_l"])
        add_token(opened.text_encoder_2, opened.tokenizer_2, files["clip_g"])
        texts = [prompt, prompt, "a photo of a shoe"]
    elif len(files) == 1:
        opened.load_textual_inversion(files, token="<boot>")
    else:
        for name, suffix in (("clip_l", ""), ("clip_g", "_2")):
            encoder, tokenizer = (getattr(opened, part + suffix) for part in ("text_encoder", "tokenizer"))
            opened.load_textual_inversion(files[name], token="<boot>", text_encoder=encoder, tokenizer=tokenizer)
    encoded = opened.encode_prompt(*texts, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False)
    got = backbone.encode_prompts([prompt])
    assert torch.allclose(got.tokens, encoded[0], atol=1e-5)
    assert got.pooled is None or torch.allclose(got.pooled, encoded[2], atol=1e-5)


def add_token(encoder: Any, tokenizer: Any, vectors: Tensor) -> None:
    """Add the token <boot> to a text encoder by transformers alone."""
    tokenizer.add_tokens(token_names("<boot>", len(vectors)))
    encoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    encoder.get_input_embeddings().weight.data[-len(vectors) :] = vectors


def test_a_lora_is_learned_and_plain_diffusers_draws_the_same_with_it(
    backbone: Backbone, checkpoint: Path, tmp_path: Path
) -> None:
    spec = Lora(steps=2, batch=2, rank=2, learning_rate=0.1)
    training = LoraTraining(backbone, [picture(), picture(1)], ["a photo of a shoe"] * 2, spec, seed=0)
    for _ in range(2):
        training.trainer.step()
    weights = training.weights()
    backbone.add_lora("lora", weights)
    opened, inputs = text_to_image(backbone, checkpoint)
    without = theirs(opened, plain(), **inputs)
    save_file(weights, tmp_path / "pytorch_lora_weights.safetensors")
    opened.load_lora_weights(tmp_path)
    expected = theirs(opened, plain(), **inputs)
    assert not np.array_equal(without, expected)
    assert near(ours(backbone, plain(lora="lora")), expected)
    assert near(ours(backbone, plain()), without)


@of_unets
def test_an_image_prompt_by_an_adapter(backbone: Backbone, checkpoint: Path, tmp_path: Path) -> None:
    opened, inputs = text_to_image(backbone, checkpoint)
    torch.manual_seed(3)
    parts = install(opened.unet, 8)
    for weight in parts.parameters():
        weight.data = torch.randn_like(weight)
    save_file(exported(parts), tmp_path / "adapter.safetensors")
    vision_tower().save_pretrained(tmp_path / "image_encoder")
    embedding = np.random.default_rng(1).normal(size=8).astype(np.float32)
    opened, inputs = text_to_image(backbone, checkpoint)
    opened.load_ip_adapter(str(tmp_path), subfolder="", weight_name="adapter.safetensors", image_encoder_folder=None)
    image_embeds = torch.from_numpy(embedding)[None, None]
    expected = theirs(
        opened, plain(), ip_adapter_image_embeds=[torch.cat([torch.zeros_like(image_embeds), image_embeds])], **inputs
    )
    backbone.load_ip_adapter(adapter_files(str(tmp_path / "adapter.safetensors")))
    assert near(ours(backbone, plain(image_prompt=ImagePrompt(embedding))), expected)
    assert not near(ours(backbone, plain()), expected)


@of_unets
def test_its_own_cross_attention_gives_masks(backbone: Backbone) -> None:
    masks = CrossAttention(backbone).segment([picture(), picture(1)], "shoe")
    assert all(mask is None or mask.shape == (32, 32) for mask in masks)
    assert any(mask is not None for mask in masks)
