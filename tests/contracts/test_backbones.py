"""Every family of checkpoints, tiny and of the real classes, against its diffusers pipelines: the same noise gives the same
images, and what is learned of it is loaded by plain diffusers. Costs twelve seconds."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from diffusers import AutoPipelineForImage2Image, AutoPipelineForInpainting, AutoPipelineForText2Image, DDIMScheduler
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from safetensors.torch import load, save_file

from pipelines.backbones.backbone import Backbone
from pipelines.backbones.image_prompts import adapter_files
from pipelines.backbones.loading import open_backbone
from pipelines.builtin.train.adapter import exported, install
from pipelines.engine.engine import Engine
from pipelines.learning.lora import LoraTraining
from pipelines.learning.textual_inversion import EMBEDS, TextualInversion
from pipelines.prompts import token_phrase
from pipelines.records import Image, ImagePrompt, Item, Request
from pipelines.spec import Inversion, Lora
from pipelines.tensors import tensor
from pipelines.vision.segmentation import CrossAttention
from tests.builders import picture, square
from tests.checkpoints import build, build_xl, vision_tower

ITEM = Item("a.png", "0" * 64, "shoe", None)
FAMILIES: dict[str, Callable[[Path], Path]] = {
    "SD 1": lambda folder: build(folder, kl=True, prediction="epsilon"),
    "SD 2, v": lambda folder: build(folder, kl=True),
    "SD, zero terminal SNR": build,
    "SD inpainting": lambda folder: build(folder, inpainting=True, kl=True, prediction="epsilon"),
    "SDXL": build_xl,
    "SDXL inpainting": lambda folder: build_xl(folder, inpainting=True),
}
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
    opened = kind.from_pretrained(checkpoint)
    opened.scheduler = DDIMScheduler.from_config(opened.scheduler.config, clip_sample=False)
    opened.set_progress_bar_config(disable=True)
    return opened


def theirs(opened: Any, request: Request, **inputs: Any) -> Image:
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


def blank(backbone: Backbone) -> dict[str, Any]:
    """What an inpainting pipeline takes to paint everything: a grey image, and a mask of all of it."""
    size = {"height": 32, "width": 32}
    return {"image": torch.full((1, 3, 32, 32), 0.5), "mask_image": torch.ones(1, 1, 32, 32), "strength": 1.0, **size}


def test_text_to_image(backbone: Backbone, checkpoint: Path) -> None:
    kind = AutoPipelineForInpainting if backbone.inpainting else AutoPipelineForText2Image
    opened = pipeline(kind, checkpoint)
    inputs = blank(backbone) if backbone.inpainting else {"height": 32, "width": 32}
    assert near(ours(backbone, plain()), theirs(opened, plain(), **inputs))


def test_a_negative_prompt(backbone: Backbone, checkpoint: Path) -> None:
    request = plain(negative_prompt="a blue bag")
    kind = AutoPipelineForInpainting if backbone.inpainting else AutoPipelineForText2Image
    inputs = blank(backbone) if backbone.inpainting else {"height": 32, "width": 32}
    expected = theirs(pipeline(kind, checkpoint), request, negative_prompt=request.negative_prompt, **inputs)
    assert near(ours(backbone, request), expected)
    assert not np.array_equal(ours(backbone, plain()), expected)


def test_image_to_image(backbone: Backbone, checkpoint: Path) -> None:
    request = plain(source=ITEM, image=picture(), strength=0.5)
    image = PIL.Image.fromarray(picture())
    if backbone.inpainting:
        inputs = {**blank(backbone), "image": image, "strength": 0.5}
        expected = theirs(pipeline(AutoPipelineForInpainting, checkpoint), request, **inputs)
    else:
        expected = theirs(pipeline(AutoPipelineForImage2Image, checkpoint), request, image=image, strength=0.5)
    assert near(ours(backbone, request), expected)


def test_inpainting(backbone: Backbone, checkpoint: Path) -> None:
    request = plain(source=ITEM, image=picture(), mask=square())
    expected = theirs(
        pipeline(AutoPipelineForInpainting, checkpoint), request, image=PIL.Image.fromarray(picture()),
        mask_image=PIL.Image.fromarray(square()), strength=1.0, height=32, width=32,
    )  # fmt: skip
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


def test_a_token_is_learned_and_plain_diffusers_reads_it(backbone: Backbone, checkpoint: Path) -> None:
    spec = Inversion(vectors=2, steps=2, batch=2)
    training = TextualInversion(backbone, [picture(), picture(1)], [square()] * 2, "<boot>", "shoe", spec, seed=3)
    start = [vectors.detach().clone() for vectors in training.vectors]
    training.trainer.step()
    moved = [(now - was).abs().sum(dim=1) for now, was in zip(training.vectors, start, strict=True)]
    assert all((each > 0).all() for each in moved), "every vector of every text encoder is trained"
    files = load(training.files({}, [])[EMBEDS])
    backbone.set_token("<boot>", [vectors.detach() for vectors in training.vectors])
    opened = pipeline(AutoPipelineForInpainting, checkpoint)
    if len(files) == 1:
        opened.load_textual_inversion(files, token="<boot>")
    else:
        for name, suffix in (("clip_l", ""), ("clip_g", "_2")):
            encoder, tokenizer = (getattr(opened, part + suffix) for part in ("text_encoder", "tokenizer"))
            opened.load_textual_inversion(files[name], token="<boot>", text_encoder=encoder, tokenizer=tokenizer)
    prompt = f"a photo of a {token_phrase('<boot>', 2, 'shoe')}"
    encoded = opened.encode_prompt(
        "a photo of a <boot> shoe", device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False
    )
    got = backbone.encode_prompts([prompt])
    assert torch.allclose(got.tokens, encoded[0], atol=1e-5)
    assert got.pooled is None or torch.allclose(got.pooled, encoded[2], atol=1e-5)


def test_a_lora_is_learned_and_plain_diffusers_draws_the_same_with_it(
    backbone: Backbone, checkpoint: Path, tmp_path: Path
) -> None:
    spec = Lora(steps=2, batch=2, rank=2, learning_rate=0.1)
    training = LoraTraining(backbone, [picture(), picture(1)], ["a photo of a shoe"] * 2, spec, seed=0)
    for _ in range(2):
        training.trainer.step()
    weights = training.weights()
    backbone.add_lora("lora", weights)
    kind = AutoPipelineForInpainting if backbone.inpainting else AutoPipelineForText2Image
    opened = pipeline(kind, checkpoint)
    inputs = blank(backbone) if backbone.inpainting else {"height": 32, "width": 32}
    without = theirs(opened, plain(), **inputs)
    save_file(weights, tmp_path / "pytorch_lora_weights.safetensors")
    opened.load_lora_weights(tmp_path)
    expected = theirs(opened, plain(), **inputs)
    assert not np.array_equal(without, expected)
    assert near(ours(backbone, plain(lora="lora")), expected)


def test_an_image_prompt_by_an_adapter(backbone: Backbone, checkpoint: Path, tmp_path: Path) -> None:
    kind = AutoPipelineForInpainting if backbone.inpainting else AutoPipelineForText2Image
    opened = pipeline(kind, checkpoint)
    torch.manual_seed(3)
    parts = install(opened.unet, 8)
    for weight in parts.parameters():
        weight.data = torch.randn_like(weight)
    save_file(exported(parts), tmp_path / "adapter.safetensors")
    vision_tower().save_pretrained(tmp_path / "image_encoder")
    embedding = np.random.default_rng(1).normal(size=8).astype(np.float32)
    opened = pipeline(kind, checkpoint)
    opened.load_ip_adapter(str(tmp_path), subfolder="", weight_name="adapter.safetensors", image_encoder_folder=None)
    image_embeds = torch.from_numpy(embedding)[None, None]
    inputs = blank(backbone) if backbone.inpainting else {"height": 32, "width": 32}
    expected = theirs(
        opened, plain(), ip_adapter_image_embeds=[torch.cat([torch.zeros_like(image_embeds), image_embeds])], **inputs
    )
    backbone.load_ip_adapter(adapter_files(str(tmp_path / "adapter.safetensors")))
    assert near(ours(backbone, plain(image_prompt=ImagePrompt(embedding))), expected)
    assert not near(ours(backbone, plain()), expected)


def test_its_own_cross_attention_gives_masks(backbone: Backbone) -> None:
    masks = CrossAttention(backbone).segment([picture(), picture(1)], "shoe")
    assert all(mask is None or mask.shape == (32, 32) for mask in masks)
    assert any(mask is not None for mask in masks)
