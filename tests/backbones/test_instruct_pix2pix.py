"""Checkpoints that edit images by instructions, against diffusers' own pipeline. Three seconds."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from diffusers import StableDiffusionInstructPix2PixPipeline

from pipelines.backbones.capabilities import check_capabilities
from pipelines.backbones.families import INSTRUCT_PIX2PIX
from pipelines.backbones.inspection import inspect
from pipelines.backbones.loading import open_backbone
from pipelines.engine.engine import Engine
from pipelines.errors import ModelError, SpecError
from pipelines.records import Request
from tests.builders import CPU, SIDE, picture, spec
from tests.checkpoints import build
from tests.contracts.families import near, ours, pipeline, plain, theirs

INSTRUCT = {"type": "edit_mix", "editor": "instruct"}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("instruct"), editing=True, kl=True, prediction="epsilon")


def edit(**changes: Any) -> Request:
    return plain(solver="ddim", image=picture(3), image_guidance=1.5, **changes)


@pytest.mark.parametrize(("guidance", "image_guidance"), [(4.0, 1.5), (7.5, 1.0), (3.0, 2.5), (1.0, 1.5)])
def test_an_edit_agrees_with_diffusers(guidance: float, image_guidance: float, checkpoint: Path) -> None:
    """With both scales of guidance; without the prompt's, there is neither."""
    backbone, one = open_backbone(str(checkpoint), CPU), edit(guidance=guidance)
    one = replace(one, image_guidance=image_guidance)
    opened = pipeline(StableDiffusionInstructPix2PixPipeline, checkpoint)
    inputs = {"image": PIL.Image.fromarray(picture(3)), "image_guidance_scale": image_guidance}
    expected = theirs(opened, one, latents=noise(backbone, one), **inputs)
    assert near(ours(backbone, one), expected)
    other = ours(backbone, replace(one, image=picture(4)))
    assert not near(other, expected), "the image matters"


def noise(backbone: Any, one: Request) -> Any:
    import torch

    return torch.randn((4, 8, 8), generator=torch.Generator().manual_seed(one.seed))[None]


def test_edits_of_a_batch_are_those_of_one_at_a_time(checkpoint: Path) -> None:
    backbone = open_backbone(str(checkpoint), CPU)
    requests = [
        edit(index=0, seed=1), edit(index=1, seed=2, guidance=1.0), edit(index=2, seed=3, guidance_interval=(0.0, 0.5)),
        replace(edit(index=3, seed=4, steps=3, negative_prompt="a bag"), image_guidance=3.0, image=picture(5)),
    ]  # fmt: skip
    together = {c.request.index: c.image for c in Engine(backbone, capacity=3).run(requests)}
    for one in requests:
        assert near(together[one.index], ours(backbone, one))
    assert not np.array_equal(together[0], together[1])


def test_it_edits_images_and_does_nothing_else(checkpoint: Path) -> None:
    inspections = {"models.text_to_image": inspect(str(checkpoint))}
    assert inspections["models.text_to_image"].family is INSTRUCT_PIX2PIX
    models = {"text_to_image": str(checkpoint), "resolution": SIDE}
    check_capabilities(spec(method=INSTRUCT, models=models), inspections)
    for method in ({"type": "text_to_image"}, {"type": "edit_mix"}):
        with pytest.raises(SpecError, match=r"method\.type: .* StableDiffusionInstructPix2PixPipeline, and it edits images"):
            check_capabilities(spec(method=method, models=models), inspections)
    with pytest.raises(ModelError, match=r"edits images, and a request has none; use edit_mix"):
        ours(open_backbone(str(checkpoint), CPU), plain())


def test_another_checkpoint_follows_no_instructions(tiny_checkpoint: Path) -> None:
    models = {"text_to_image": str(tiny_checkpoint), "resolution": SIDE}
    with pytest.raises(SpecError, match=r"method\.editor: .* follows no instructions; give an InstructPix2Pix checkpoint"):
        check_capabilities(spec(method=INSTRUCT, models=models), {"models.text_to_image": inspect(str(tiny_checkpoint))})


def test_names_alone_cannot_be_drawn_beside_edits() -> None:
    with pytest.raises(SpecError, match=r"evaluation\.arms: text_to_image draws from the classes' names"):
        spec(method=INSTRUCT, evaluation={"arms": ["erm", "text_to_image"]})
    spec(method={"type": "edit_mix"}, evaluation={"arms": ["erm", "text_to_image"]})


def test_a_checkpoint_of_its_name_with_another_unet_is_refused(tmp_path: Path) -> None:
    folder = build(tmp_path, kl=True)
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "_class_name": "StableDiffusionInstructPix2PixPipeline"}))
    with pytest.raises(ModelError, match=r"its UNet has 4 input channels, and to edit an image it takes 8"):
        inspect(str(folder))
