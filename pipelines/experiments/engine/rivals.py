"""diffusers' pipelines of Stable Diffusion, plain and XL, on the engine's requests."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import PIL.Image
import torch
from diffusers import AutoPipelineForImage2Image, AutoPipelineForText2Image, DDIMScheduler, DiffusionPipeline
from numpy.typing import NDArray
from torch import Tensor

from pipelines.backbones.loading import left_out
from pipelines.backbones.locate import DIFFUSERS, locate
from pipelines.builtin.checkpoints import resolve
from pipelines.records import Request

EMBEDS = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")


class Diffusers:
    """Text to image and image to image by DDIM, without progress bars and safety checker."""

    def __init__(self, checkpoint: str, device: torch.device, dtype: torch.dtype) -> None:
        path = locate("--checkpoint", resolve(checkpoint, "model"), DIFFUSERS, weights=True)
        absent = left_out(DiffusionPipeline.load_config(path))
        pipeline: Any = AutoPipelineForText2Image.from_pretrained(path, dtype=dtype, use_safetensors=True, **absent)
        pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config, clip_sample=False)
        self.text_to_image = pipeline.to(device)
        if device.type == "cpu":
            pipeline.unet.to(memory_format=torch.channels_last)
            pipeline.vae.to(memory_format=torch.channels_last)
        self.image_to_image: Any = AutoPipelineForImage2Image.from_pipe(pipeline)
        for each in (self.text_to_image, self.image_to_image):
            each.set_progress_bar_config(disable=True)

    def draw(self, batches: Iterable[Sequence[Request]]) -> dict[int, NDArray[np.float32]]:
        """Images (height, width, 3) in 0..1 by the requests' indices; those of a batch have one strength."""
        embeds: dict[str, dict[str, Tensor]] = {}  # by prompt
        images: dict[int, NDArray[np.float32]] = {}
        for batch in batches:
            for prompt in {request.prompt for request in batch} - embeds.keys():
                embeds[prompt] = self.encode(prompt)
            rows = [embeds[request.prompt] for request in batch]
            drawn = self.call(batch, {name: torch.cat([row[name] for row in rows]) for name in rows[0]})
            images |= {request.index: image for request, image in zip(batch, drawn, strict=True)}
        return images

    def encode(self, prompt: str) -> dict[str, Tensor]:
        """The embeddings of a prompt and of none, by their names as arguments."""
        pipeline = self.text_to_image
        encoded = pipeline.encode_prompt(
            prompt, device=pipeline.device, num_images_per_prompt=1, do_classifier_free_guidance=True
        )
        return dict(zip(EMBEDS, encoded, strict=False))

    def call(self, batch: Sequence[Request], embeds: dict[str, Tensor]) -> NDArray[np.float32]:
        first = batch[0]
        settings: dict[str, Any] = {
            "num_inference_steps": first.steps,
            "guidance_scale": first.guidance,
            "generator": [torch.Generator().manual_seed(request.seed) for request in batch],
            "output_type": "np",
        }
        pipeline = self.text_to_image
        if first.image is not None:
            pipeline = self.image_to_image
            settings["image"] = [PIL.Image.fromarray(request.image) for request in batch if request.image is not None]
            settings["strength"] = first.strength
        drawn: NDArray[np.float32] = pipeline(**embeds, **settings).images
        return drawn
