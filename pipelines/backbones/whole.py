"""A checkpoint that is run whole, as diffusers runs it: of a class that no backbone here takes apart, and that AutoPipeline
opens (PixArt, Sana, Qwen-Image, Z-Image, Lumina, CogView, ...)."""

from collections.abc import Sequence
from inspect import signature
from typing import Any

import PIL.Image
import torch
from diffusers.pipelines.auto_pipeline import (
    AUTO_IMAGE2IMAGE_PIPELINES_MAPPING,
    AUTO_INPAINT_PIPELINES_MAPPING,
    AUTO_TEXT2IMAGE_PIPELINES_MAPPING,
)
from torch import Tensor

from pipelines.backbones.autopipeline import WHOLE
from pipelines.backbones.layout import Layout
from pipelines.errors import ModelError
from pipelines.records import Request

SCALES = ("true_cfg_scale", "guidance_scale")  # of classifier-free guidance; beside the first, the second is distilled
FROM_ZERO = ("ZImage", "Krea2")  # beginnings of classes whose scale is counted from 0, no guidance, instead of from 1


def inputs(kind: type) -> set[str]:
    """The names of what a pipeline takes."""
    return set(signature(kind.__call__).parameters)


def tasks(kind: type) -> dict[str, type]:
    """The pipelines by task that draw with the weights of a class: `repainting` and `image_to_image` where there are any."""
    name = next(name for name, each in AUTO_TEXT2IMAGE_PIPELINES_MAPPING.items() if each is kind)
    others = {
        "image_to_image": (AUTO_IMAGE2IMAGE_PIPELINES_MAPPING.get(name), {"prompt", "image", "strength"}),
        "repainting": (AUTO_INPAINT_PIPELINES_MAPPING.get(name), {"prompt", "image", "strength", "mask_image"}),
    }
    return {
        "text_to_image": kind,
        **{task: other for task, (other, needed) in others.items() if other and inputs(other) >= needed},
    }


class WholePipeline:
    """A checkpoint's pipelines, one a task, which share their weights."""

    inpainting = False

    def __init__(self, pipeline: Any, name: str, device: torch.device, dtype: torch.dtype, layout: Layout) -> None:
        """`pipeline` is diffusers' from text to image; `name` is what errors call it."""
        self.name, self.device, self.dtype, self.resolution = name, device, dtype, layout.resolution
        pipeline.to(device)
        if hasattr(pipeline.vae, "enable_slicing"):
            pipeline.vae.enable_slicing()  # an image at a time: decoding takes more memory than denoising
        self.denoiser = getattr(pipeline, "transformer", None) or pipeline.unet
        self.pipelines: dict[str, Any] = {"text_to_image": pipeline}
        for task, kind in tasks(type(pipeline)).items():
            if task not in self.pipelines:
                self.pipelines[task] = sharing(pipeline, kind)
        for each in self.pipelines.values():
            each.set_progress_bar_config(disable=True)

    def compile(self) -> None:
        """Compile the denoiser, when it is first run."""
        self.denoiser.compile()

    def remove_loras(self) -> None:
        """There are none."""

    def draw(self, requests: Sequence[Request], size: tuple[int, int]) -> Tensor:
        """The images of requests that differ in prompts, seeds, images and masks alone: float32 (n, *size, 3), 0..1.

        Raises ModelError.
        """
        task = task_of(requests[0])
        if task not in self.pipelines:
            raise ModelError(f"models.text_to_image: {self.name!r} cannot do this: {WHOLE}, without a pipeline for it")
        pipeline = self.pipelines[task]
        arguments = {**self.sampling(requests[0], size), **images(requests, task)}
        taken, negative = inputs(type(pipeline)), requests[0].negative_prompt
        # An empty one is left to the pipeline, unless without it there is no guidance.
        if "negative_prompt" in taken and (negative or "true_cfg_scale" in taken):
            arguments["negative_prompt"] = [negative] * len(requests)
        try:
            pixels = pipeline(
                prompt=[request.prompt for request in requests],
                generator=[torch.Generator().manual_seed(request.seed) for request in requests],
                output_type="np",
                **{name: value for name, value in arguments.items() if name in taken},
            ).images
        except ValueError as error:
            raise ModelError(f"models.text_to_image: {self.name!r} does not draw this ({error})") from None
        if pixels.shape[1:3] != size:
            raise ModelError(
                f"models.resolution: {self.name!r} gives images of {pixels.shape[2]} x {pixels.shape[1]} pixels where "
                f"{size[1]} x {size[0]} are asked for; set it to a multiple of 32, or to what it is made for"
            )
        return torch.from_numpy(pixels).float()

    def sampling(self, request: Request, size: tuple[int, int]) -> dict[str, Any]:
        """The arguments that like requests share."""
        kind = type(self.pipelines["text_to_image"])
        scale = next(name for name in SCALES if name in inputs(kind))
        return {
            "height": size[0],
            "width": size[1],
            "num_inference_steps": request.steps,
            "strength": min(1.0, max(request.strength, (1 + 1e-6) / request.steps)),  # at least one step
            "use_resolution_binning": False,  # the size as it is asked for
            "clean_caption": False,  # depends on the packages that are there
            scale: request.guidance - 1 if kind.__name__.startswith(FROM_ZERO) else request.guidance,
        }


def sharing(pipeline: Any, kind: type) -> Any:
    """A pipeline of another class with the same parts. Diffusers' `from_pipe` would cast what is kept in float32."""
    parts = pipeline.components
    settings = [name for name in signature(kind).parameters if name in pipeline.config and name not in parts]
    return kind(**parts, **{name: pipeline.config[name] for name in settings})


def task_of(request: Request) -> str:
    if request.init_image is None:
        return "text_to_image"
    return "image_to_image" if request.inpaint_mask is None else "repainting"


def images(requests: Sequence[Request], task: str) -> dict[str, list[PIL.Image.Image]]:
    """The images that requests start from, and where they are repainted."""
    if task == "text_to_image":
        return {}
    originals = [PIL.Image.fromarray(request.init_image) for request in requests if request.init_image is not None]
    masks = [PIL.Image.fromarray(request.inpaint_mask) for request in requests if request.inpaint_mask is not None]
    return {"image": originals, "mask_image": masks}
