"""The engine's batch: requests being denoised, a row of every tensor for each, at its own step of its own schedule."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from pipelines.backbones.prompt_embeds import PromptEmbeds
from pipelines.backbones.schedule import Levels, Step
from pipelines.records import Request
from pipelines.tensors import mask_tensor


@dataclass
class Batch:
    """n requests of one size. The tensors are on the device of the denoiser. While no row comes or goes, they stay as they
    are, but for `x` and `taken`."""

    requests: list[Request]
    remaining: list[int]  # steps of each request that are to be taken
    taken: Tensor  # (n,), int64: those that were
    schedule: Tensor  # (n, steps, 7), float32: `columns` of each step
    x: Tensor  # latents (n, c, h, w), float32
    eps: Tensor  # the noise that each started from, as x
    x0: Tensor  # latents of the init images, as x; zeros where there is none
    mask: Tensor  # (n, 1, h, w), 1 where latents change
    prompt_embeds: PromptEmbeds
    negative_embeds: PromptEmbeds | None  # of negative prompts; None where guidance is an input of the denoiser
    image_embeds: Tensor | None  # (n, width), zeros where a request has no image prompt; None where none has
    inpainting_channels: Tensor | None  # (n, 1 + c, h, w): what an inpainting denoiser takes beside the latents

    def __len__(self) -> int:
        return len(self.requests)

    @cached_property
    def masked(self) -> bool:
        """Whether any row may keep some of its latents."""
        return any(request.mask is not None for request in self.requests)

    @cached_property
    def guidance(self) -> list[float]:
        return [request.guidance for request in self.requests]

    @cached_property
    def guided(self) -> list[int]:
        """Numbers of the rows that classifier-free guidance predicts twice."""
        return [n for n, scale in enumerate(self.guidance) if scale > 1] if self.negative_embeds is not None else []

    @cached_property
    def guided_index(self) -> Tensor:
        return torch.tensor(self.guided, device=self.x.device)

    @cached_property
    def guidance_scale(self) -> Tensor:
        """(n,), float32."""
        return torch.tensor(self.guidance, device=self.x.device, dtype=torch.float32)

    @cached_property
    def guidance_rescale(self) -> Tensor | None:
        """(n,), float32; None where it is 0 in all rows."""
        values = [request.guidance_rescale for request in self.requests]
        return torch.tensor(values, device=self.x.device, dtype=torch.float32) if any(values) else None

    @cached_property
    def guided_prompts(self) -> PromptEmbeds:
        """The embeddings of all prompts, then those of the guided rows' negative ones."""
        if self.negative_embeds is None or not self.guided:
            return self.prompt_embeds
        return PromptEmbeds.cat([self.prompt_embeds, self.negative_embeds.rows(self.guided_index)])

    @cached_property
    def guided_image_embeds(self) -> Tensor | None:
        """Those of all rows, then the guided rows' unconditional ones."""
        if self.image_embeds is None:
            return None
        return torch.cat([self.image_embeds, torch.zeros_like(self.image_embeds[: len(self.guided)])])

    @cached_property
    def same_weights(self) -> dict[tuple[str | None, float], list[int]]:
        """Numbers of the rows by the weights that they need: the LoRA, and the scale of the image prompt."""
        groups: dict[tuple[str | None, float], list[int]] = {}
        for number, request in enumerate(self.requests):
            scale = 0.0 if request.image_prompt is None else request.image_prompt.scale
            groups.setdefault((request.lora, scale), []).append(number)
        return groups

    def columns(self) -> tuple[Tensor, Levels, Levels, Levels]:
        """Of each row's next step: the timestep (n,); the noise levels of the prediction, after the step, and of the latents
        that are kept there."""
        now = self.schedule[torch.arange(len(self), device=self.x.device), self.taken]
        t, *levels = now.T
        alpha, sigma, alpha_next, sigma_next, alpha_kept, sigma_kept = (level.view(-1, 1, 1, 1) for level in levels)
        return t, Levels(alpha, sigma), Levels(alpha_next, sigma_next), Levels(alpha_kept, sigma_kept)

    def rows(self, numbers: Sequence[int]) -> "Batch":
        """Some of the rows."""
        if len(numbers) == len(self):
            return self
        index = torch.tensor(numbers, device=self.x.device, dtype=torch.int64)
        return Batch(
            [self.requests[number] for number in numbers],
            [self.remaining[number] for number in numbers],
            self.taken[index],
            self.schedule[index],
            self.x[index],
            self.eps[index],
            self.x0[index],
            self.mask[index],
            self.prompt_embeds.rows(index),
            None if self.negative_embeds is None else self.negative_embeds.rows(index),
            None if self.image_embeds is None else self.image_embeds[index],
            None if self.inpainting_channels is None else self.inpainting_channels[index],
        )

    @classmethod
    def cat(cls, parts: Sequence["Batch"]) -> "Batch":
        """The rows of all parts, one after the other."""
        if len(parts) == 1:
            return parts[0]
        steps = max(part.schedule.shape[1] for part in parts)
        negative = [part.negative_embeds for part in parts if part.negative_embeds is not None]
        return cls(
            [request for part in parts for request in part.requests],
            [count for part in parts for count in part.remaining],
            torch.cat([part.taken for part in parts]),
            torch.cat([F.pad(part.schedule, (0, 0, 0, steps - part.schedule.shape[1])) for part in parts]),
            torch.cat([part.x for part in parts]),
            torch.cat([part.eps for part in parts]),
            torch.cat([part.x0 for part in parts]),
            torch.cat([part.mask for part in parts]),
            PromptEmbeds.cat([part.prompt_embeds for part in parts]),
            PromptEmbeds.cat(negative) if negative else None,
            joined([part.image_embeds for part in parts], [len(part) for part in parts]),
            joined([part.inpainting_channels for part in parts], [len(part) for part in parts]),
        )


def joined(parts: Sequence[Tensor | None], lengths: Sequence[int]) -> Tensor | None:
    """Rows of all parts, zeros for those of a part that is None; None where all are."""
    known = next((part for part in parts if part is not None), None)
    if known is None:
        return None
    zeros = [known.new_zeros(length, *known.shape[1:]) for length in lengths]
    return torch.cat([none if part is None else part for part, none in zip(parts, zeros, strict=True)])


def schedule_tensor(schedules: Sequence[Sequence[Step]], like: Tensor) -> Tensor:
    """Timestep, and levels as `Batch.columns` has them, of each step of n schedules: (n, longest, 7), zeros after the last.

    Kept latents have the noise level of those that change, and none after the last step.
    """
    longest = max(map(len, schedules))
    table = torch.zeros(len(schedules), longest, 7)
    for number, steps in enumerate(schedules):
        levels = [(step.t, *step.level, *step.level_next, *step.level_next) for step in steps]
        table[number, : len(steps)] = torch.tensor(levels)
        table[number, len(steps) - 1, 5:] = torch.tensor([1.0, 0.0])
    return table.to(like.device)


def latent_mask(request: Request, scale_factor: int, like: Tensor) -> Tensor:
    """Which latents of a request change, (1, h, w), 1 or 0; `like` are its latents."""
    if request.mask is None:
        return torch.ones_like(like[:1])
    grafted = None if request.graft is None else mask_tensor([request.graft.mask])
    return changing_latents(mask_tensor([request.mask]), grafted, scale_factor)[0].to(like)


def changing_latents(regions: Tensor, grafted: Tensor | None, scale_factor: int) -> Tensor:
    """Which latents change, (n, 1, h, w), 1 or 0, of masks of pixels: of the regions, and of the objects grafted into them.

    A latent changes when any of its pixels does, unless a grafted object fills half of them: that is kept, as context.
    """
    changing = F.max_pool2d(regions, scale_factor)
    return changing if grafted is None else changing * (F.avg_pool2d(grafted, scale_factor) < 0.5)
