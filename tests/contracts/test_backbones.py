"""Every family of checkpoints against its diffusers pipelines: the same noise gives the same images. Twelve seconds."""

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from diffusers import AutoPipelineForImage2Image, AutoPipelineForInpainting

from pipelines.backbones.backbone import Backbone
from pipelines.backbones.stable_diffusion_3 import StableDiffusion3
from pipelines.engine.engine import Engine
from pipelines.tensors import tensor
from tests.builders import picture, square
from tests.contracts.families import ITEM, near, of_tokens, ours, pipeline, plain, text_to_image, theirs


def test_text_to_image(backbone: Backbone, checkpoint: Path) -> None:
    opened, inputs = text_to_image(backbone, checkpoint)
    for request in (plain(), plain(guidance=1.0)):
        assert near(ours(backbone, request), theirs(opened, request, **inputs))
    assert not near(ours(backbone, plain()), ours(backbone, plain(prompt="a photo of a blue bag")))


@of_tokens
def test_a_negative_prompt(backbone: Backbone, checkpoint: Path) -> None:
    request = plain(negative_prompt="a blue bag")
    opened, inputs = text_to_image(backbone, checkpoint)
    expected = theirs(opened, request, negative_prompt=request.negative_prompt, **inputs)
    assert near(ours(backbone, request), expected)
    assert not np.array_equal(ours(backbone, plain()), expected)


@pytest.mark.parametrize("checkpoint", ["SD, zero terminal SNR", "SDXL"], indirect=True)
def test_rescaled_guidance(backbone: Backbone, checkpoint: Path) -> None:
    request = plain(guidance=9.0, guidance_rescale=0.7)
    opened, _ = text_to_image(backbone, checkpoint)
    assert near(ours(backbone, request), theirs(opened, request, guidance_rescale=0.7))
    assert not near(ours(backbone, request), ours(backbone, plain(guidance=9.0)))


def test_image_to_image(backbone: Backbone, checkpoint: Path) -> None:
    """Of 6 steps, a strength of 0.75 keeps 4 of diffusion and 5 of flow matching, as their pipelines do."""
    request = plain(source=ITEM, image=picture(), strength=0.75)
    inputs = {"image": PIL.Image.fromarray(picture()), "strength": 0.75}
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
