"""The rows of the engine's batch: requests being denoised, each at its own timestep of its own schedule."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from pipelines.backbones.prompt_embeds import PromptEmbeds
from pipelines.backbones.schedule import Step
from pipelines.records import Request
from pipelines.tensors import mask_tensor


@dataclass(slots=True)
class Row:
    """One request in the batch."""

    request: Request
    steps: list[Step]
    x: Tensor  # latents (channels, h, w)
    prompt_embeds: PromptEmbeds  # of one row
    eps: Tensor  # the noise that it started from, as x
    image_embeds: Tensor | None = None  # of its image prompt
    x0: Tensor | None = None  # latents of its init image
    mask: Tensor | None = None  # (1, h, w), 1 where latents change; None: all, or the denoiser keeps the rest
    inpainting_channels: Tensor | None = None  # what an inpainting denoiser takes beside the latents
    taken: int = 0  # steps taken

    @property
    def step(self) -> Step:
        return self.steps[self.taken]

    @property
    def finished(self) -> bool:
        return self.taken == len(self.steps)


def image_scale(rows: list[Row]) -> Tensor:
    """The scales of the rows' image prompts, float32 (n,): 0 without one."""
    prompts = [row.request.image_prompt for row in rows]
    return torch.tensor([0.0 if prompt is None else prompt.scale for prompt in prompts], device=rows[0].x.device)


def image_embeds(rows: list[Row], guided: list[int]) -> Tensor | None:
    """Image embeddings of the rows, then the unconditional ones of the guided rows; None where no row has any."""
    known = [row.image_embeds for row in rows if row.image_embeds is not None]
    if not known:
        return None
    none = torch.zeros_like(known[0])
    return torch.stack([*(none if row.image_embeds is None else row.image_embeds for row in rows), *(none for _ in guided)])


def latent_mask(request: Request, scale_factor: int, like: Tensor) -> Tensor | None:
    """Which latents of a request change, (1, h, w), 1 or 0; None: all."""
    if request.mask is None:
        return None
    grafted = None if request.graft is None else mask_tensor([request.graft.mask])
    return changing_latents(mask_tensor([request.mask]), grafted, scale_factor)[0].to(like)


def changing_latents(regions: Tensor, grafted: Tensor | None, scale_factor: int) -> Tensor:
    """Which latents change, (n, 1, h, w), 1 or 0, of masks of pixels: of the regions, and of the objects grafted into them.

    A latent changes when any of its pixels does, unless a grafted object fills half of them: that is kept, as context.
    """
    changing = F.max_pool2d(regions, scale_factor)
    return changing if grafted is None else changing * (F.avg_pool2d(grafted, scale_factor) < 0.5)
