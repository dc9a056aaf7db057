"""Image prompts against diffusers' own pipelines: an IP-Adapter on any UNet, and an unCLIP checkpoint."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from diffusers import StableDiffusionPipeline, StableUnCLIPImg2ImgPipeline
from safetensors.torch import save_file

from pipelines import spec
from pipelines.backbones.adapter_files import adapter_files
from pipelines.backbones.image_prompts import ImageEncoder
from pipelines.backbones.loading import open_backbone
from pipelines.builtin.train.adapter import exported, install
from pipelines.engine.engine import Engine
from pipelines.errors import ModelError
from pipelines.records import Image, ImagePrompt, Request
from pipelines.vision.models import Models
from tests.builders import CPU, flat
from tests.checkpoints import vision_tower
from tests.engine.test_engine import near, noise, ours, picture, request, to_image


@pytest.fixture(scope="module")
def adapter(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An IP-Adapter with random weights for the tiny checkpoint, its encoder beside it."""
    folder = tmp_path_factory.mktemp("adapter")
    torch.manual_seed(3)
    unet = StableDiffusionPipeline.from_pretrained(tiny_checkpoint).unet
    parts = install(unet, 8)
    for weight in parts.parameters():
        weight.data = torch.randn_like(weight)
    save_file(exported(parts), folder / "adapter.safetensors")
    vision_tower().save_pretrained(folder / "image_encoder")
    return folder / "adapter.safetensors"


def shown(seed: int = 1) -> Request:
    embedding = np.random.default_rng(seed).normal(size=8).astype(np.float32)
    return request(seed, image_prompt=ImagePrompt(embedding))


def test_an_adapter_agrees_with_diffusers(tiny_checkpoint: Path, adapter: Path) -> None:
    one = shown()
    assert one.image_prompt is not None
    pipeline = StableDiffusionPipeline.from_pretrained(tiny_checkpoint)
    pipeline.load_ip_adapter(str(adapter.parent), subfolder="", weight_name=adapter.name, image_encoder_folder=None)
    pipeline.set_progress_bar_config(disable=True)
    embedding = torch.from_numpy(one.image_prompt.embedding)[None, None]
    expected = pipeline(
        one.prompt, num_inference_steps=one.steps, guidance_scale=one.guidance, latents=noise(one.seed), output_type="np",
        ip_adapter_image_embeds=[torch.cat([torch.zeros_like(embedding), embedding])],
    ).images[0]  # fmt: skip
    model = open_backbone(str(tiny_checkpoint), CPU)
    model.load_ip_adapter(adapter_files(str(adapter)))
    assert near(ours(model, one), to_image(expected))
    assert not near(ours(model, one), ours(model, replace(one, image_prompt=None)), limit=8), "the picture says something"


def test_a_negative_image_prompt_agrees_with_diffusers(tiny_checkpoint: Path, adapter: Path) -> None:
    """Alone, and in a batch beside an image prompt without one and a row without any."""
    plain, away = shown(1), shown(5)
    assert plain.image_prompt is not None
    assert away.image_prompt is not None
    one = replace(plain, image_prompt=replace(plain.image_prompt, negative=away.image_prompt.embedding))
    pipeline = StableDiffusionPipeline.from_pretrained(tiny_checkpoint)
    pipeline.load_ip_adapter(str(adapter.parent), subfolder="", weight_name=adapter.name, image_encoder_folder=None)
    pipeline.set_progress_bar_config(disable=True)
    embeds = [torch.from_numpy(prompt.embedding)[None, None] for prompt in (away.image_prompt, plain.image_prompt)]
    expected = pipeline(
        one.prompt, num_inference_steps=one.steps, guidance_scale=one.guidance, latents=noise(one.seed), output_type="np",
        ip_adapter_image_embeds=[torch.cat(embeds)],
    ).images[0]  # fmt: skip
    model = open_backbone(str(tiny_checkpoint), CPU)
    model.load_ip_adapter(adapter_files(str(adapter)))
    assert near(ours(model, one), to_image(expected))
    assert not near(ours(model, one), ours(model, plain), limit=8), "the negative one says something"
    every = [replace(one, index=0), replace(plain, index=1), replace(request(2), index=2)]
    together = {candidate.request.index: candidate.image for candidate in Engine(model).run(every)}
    for alone in every:
        assert near(together[alone.index], ours(model, alone))


def test_without_a_picture_an_adapter_changes_nothing(tiny_checkpoint: Path, adapter: Path) -> None:
    before = ours(open_backbone(str(tiny_checkpoint), CPU), request())
    model = open_backbone(str(tiny_checkpoint), CPU)
    model.load_ip_adapter(adapter_files(str(adapter)))
    assert near(ours(model, request()), before)


def test_a_mixed_batch_gives_what_each_gives_alone(tiny_checkpoint: Path, adapter: Path) -> None:
    """Pictures, pictures that count half, and none at all, in one batch."""
    model = open_backbone(str(tiny_checkpoint), CPU)
    model.load_ip_adapter(adapter_files(str(adapter)))
    half = shown(4)
    assert half.image_prompt is not None
    every = [shown(1), request(2), replace(half, image_prompt=replace(half.image_prompt, scale=0.5)), shown(3)]
    together = {candidate.request.seed: candidate.image for candidate in Engine(model).run(every)}
    for one in every:
        assert near(together[one.seed], ours(model, one))


def test_every_row_has_its_own_scale_of_its_image_prompt(tiny_checkpoint: Path, adapter: Path) -> None:
    scales, embeds = [1.0, 0.0, 0.5, 0.25, 1.0], torch.randn(5, 8, generator=torch.Generator().manual_seed(2))
    pipeline = StableDiffusionPipeline.from_pretrained(tiny_checkpoint)
    pipeline.load_ip_adapter(str(adapter.parent), subfolder="", weight_name=adapter.name, image_encoder_folder=None)
    backbone = open_backbone(str(tiny_checkpoint), CPU)
    backbone.load_ip_adapter(adapter_files(str(adapter)))
    x, t = torch.randn(5, 4, 8, 8, generator=torch.Generator().manual_seed(1)), torch.tensor([100, 300, 500, 700, 900])
    prompt_embeds = backbone.encode_prompts(["a shoe"]).expand(5)
    with torch.inference_mode():
        mixed = backbone.predict(x, t, prompt_embeds, embeds, torch.tensor(scales))
        for n, scale in enumerate(scales):
            pipeline.set_ip_adapter_scale(scale)
            row, added = slice(n, n + 1), {"image_embeds": [embeds[n : n + 1, None]]}
            expected = pipeline.unet(x[row], t[row], prompt_embeds.tokens[row], added_cond_kwargs=added).sample
            assert torch.allclose(mixed[row], expected, atol=1e-4)
        assert torch.allclose(
            backbone.predict(x, t, prompt_embeds, embeds), backbone.predict(x, t, prompt_embeds, embeds, torch.ones(5))
        )


def test_an_encoder_agrees_with_transformers(adapter: Path) -> None:
    encoder = ImageEncoder.load(str(adapter.parent / "image_encoder"), torch.device("cpu"))
    pixels = encoder.processor(images=[PIL.Image.fromarray(picture())], return_tensors="pt").pixel_values
    with torch.no_grad():
        expected = vision_tower().eval()(pixels).image_embeds
    assert torch.allclose(encoder.embed([picture()]), expected, atol=1e-5)


def test_what_is_no_adapter_is_refused_with_the_remedy(tiny_checkpoint: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    with pytest.raises(ModelError, match=r"models.adapter: there is no file .*; give that of an IP-Adapter, FOLDER/FILE"):
        adapter_files(str(file))
    save_file({"some.weight": torch.zeros(1)}, file)
    with pytest.raises(ModelError, match=r"models.adapter: .* has no image_encoder/config.json beside it; give an"):
        adapter_files(str(file))
    vision_tower().save_pretrained(tmp_path / "image_encoder")
    with pytest.raises(ModelError, match=r"models.adapter: .* is no IP-Adapter for this checkpoint .*; give one"):
        open_backbone(str(tiny_checkpoint), CPU).load_ip_adapter(adapter_files(str(file)))


def test_an_adapter_of_another_model_is_refused(tiny_checkpoint: Path) -> None:
    with pytest.raises(ModelError, match=r"models.adapter: 'builtin' is no IP-Adapter for this checkpoint"):
        Models(spec.Models(text_to_image=str(tiny_checkpoint))).image_conditioning  # noqa: B018  (loaded on use)


def unclip_image(pipeline: StableUnCLIPImg2ImgPipeline, one: Request, level: int) -> Image:
    assert one.image_prompt is not None
    embedding = torch.from_numpy(one.image_prompt.embedding)[None]
    made = pipeline(
        prompt=one.prompt, image_embeds=embedding, noise_level=level, num_inference_steps=one.steps, output_type="np",
        guidance_scale=one.guidance, latents=noise(one.seed), generator=torch.Generator().manual_seed(5),
    ).images[0]  # fmt: skip
    return to_image(made)


@pytest.mark.parametrize("level", [0, 300])
def test_unclip_agrees_with_diffusers(tiny_unclip_checkpoint: Path, level: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a level the embedding is noised: with the same noise, the same image."""
    one = shown()
    assert one.image_prompt is not None
    one = replace(one, image_prompt=replace(one.image_prompt, noise_level=level))
    pipeline = StableUnCLIPImg2ImgPipeline.from_pretrained(tiny_unclip_checkpoint)
    pipeline.set_progress_bar_config(disable=True)
    monkeypatch.setattr("pipelines.engine.admission.derive", lambda *parts: 5)
    assert near(ours(open_backbone(str(tiny_unclip_checkpoint), CPU), one), unclip_image(pipeline, one, level))


def test_unclip_sees_without_an_adapter(tiny_unclip_checkpoint: Path) -> None:
    models = Models(spec.Models(text_to_image=str(tiny_unclip_checkpoint)))
    model, seen = models.backbone, models.image_conditioning.encoder.embed([flat(0, 32), flat(255, 32)])
    assert seen.shape == (2, 8)
    first, second = (ours(model, request(1, image_prompt=ImagePrompt(row))) for row in seen.numpy())
    assert not np.array_equal(first, second)


def test_a_picture_for_a_model_that_cannot_see_is_refused(tiny_checkpoint: Path) -> None:
    with pytest.raises(ModelError, match="cannot see image prompts; give it an adapter"):
        ours(open_backbone(str(tiny_checkpoint), CPU), shown())
