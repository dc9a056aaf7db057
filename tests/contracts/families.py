"""Every family of checkpoints, tiny and of the real classes: how we draw with it, and how diffusers' own pipeline does."""

from collections.abc import Callable
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    AutoPipelineForInpainting,
    AutoPipelineForText2Image,
    DDIMScheduler,
    DiffusionPipeline,
    FlowMatchEulerDiscreteScheduler,
)

from pipelines.backbones.backbone import Backbone
from pipelines.engine.engine import Engine
from pipelines.records import Image, Item, Request
from tests.checkpoints import build, build_3, build_flux, build_xl

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


def near(some: Image, other: Image) -> bool:
    return bool(np.abs(some.astype(int) - other.astype(int)).max() <= LIMIT)


def text_to_image(backbone: Backbone, checkpoint: Path) -> tuple[Any, dict[str, Any]]:
    """The pipeline that draws from a prompt alone, and what it takes beside: an inpainting one a grey image, and a mask of
    all of it."""
    if not backbone.inpainting:
        return pipeline(AutoPipelineForText2Image, checkpoint), {}
    inputs = {"image": torch.full((1, 3, 32, 32), 0.5), "mask_image": torch.ones(1, 1, 32, 32), "strength": 1.0}
    return pipeline(AutoPipelineForInpainting, checkpoint), inputs
