"""The engine's batch: requests being denoised, a row of every tensor for each, at its own step of its own schedule."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from pipelines.backbones.prompt_embeds import PromptEmbeds
from pipelines.backbones.schedule import Levels, Step
from pipelines.engine.caching import RowCache
from pipelines.engine.capacity import Size
from pipelines.records import Request
from pipelines.tensors import mask_tensor


@dataclass(frozen=True)
class Conditioning:
    """What rows are conditioned on in a step: all of them, then once more those that classifier-free guidance predicts
    without their prompt."""

    guidance: tuple[float, ...]  # scale of each row
    scale: Tensor  # the same, (n,), float32
    twice: tuple[int, ...]  # numbers of the rows that are predicted twice
    guided: Tensor  # the same, (m,), int64
    prompt_embeds: PromptEmbeds  # (n + m)
    image_embeds: Tensor | None  # (n + m, width)
    image_scale: Tensor  # (n + m,), float32: of image prompts, 0 without one
    loras: list[str | None]  # (n + m): keys in the store


@dataclass
class Batch:
    """n requests of one size. The tensors are on the device of the denoiser. While no row comes or goes, they stay as they
    are, but for `x`, `x0_previous` and `taken`."""

    requests: list[Request]
    steps: list[list[Step]]  # those of each request that are to be taken
    taken: Tensor  # (n,), int64: how many were
    schedule: Tensor  # (n, steps, 8), float32: see `schedule_tensor`
    x: Tensor  # latents (n, c, h, w), float32
    x0_previous: Tensor  # as x: what they would become, as it was predicted in the step before
    eps: Tensor  # the noise that each started from, as x
    x0: Tensor  # latents of the init images, as x; zeros where there is none
    mask: Tensor  # (n, 1, h, w), 1 where latents change
    prompt_embeds: PromptEmbeds
    negative_embeds: PromptEmbeds | None  # of negative prompts; None where guidance is an input of the denoiser
    image_embeds: Tensor | None  # (n, width), zeros where a request has no image prompt; None where none has
    negative_image_embeds: Tensor | None  # the same, of negative image prompts
    inpainting_channels: Tensor | None  # (n, 1 + c, h, w): what an inpainting denoiser takes beside the latents
    reference: Tensor | None  # (n, 2, c, h, w): x and x0_previous of each row's reference; None where none has one
    caches: list[RowCache]  # of each row; unused without a cache interval
    last: Conditioning | None = None  # of the step before

    def __len__(self) -> int:
        return len(self.requests)

    @property
    def size(self) -> Size:
        return self.x.shape[-2], self.x.shape[-1]

    @cached_property
    def masked(self) -> bool:
        """Whether any row may keep some of its latents."""
        return any(request.mask is not None for request in self.requests)

    @cached_property
    def guidance_rescale(self) -> Tensor | None:
        """(n,), float32; None where it is 0 in all rows."""
        values = [request.guidance_rescale for request in self.requests]
        return torch.tensor(values, device=self.x.device, dtype=torch.float32) if any(values) else None

    def conditioning(self, ahead: int = 1) -> Conditioning:
        """Of the next step: the last one's, where guidance is the same. Rows that are guided in any of the next `ahead`
        steps are predicted twice."""
        scales = [
            [scale_of(request, step) for step in steps[:ahead]]
            for request, steps in zip(self.requests, self.steps, strict=True)
        ]
        guidance, classifier_free = tuple(scale for scale, *_ in scales), self.negative_embeds is not None
        twice = tuple(number for number, row in enumerate(scales) if max(row) > 1) if classifier_free else ()
        if self.last is None or (self.last.guidance, self.last.twice) != (guidance, twice):
            self.last = self.new_conditioning(guidance, twice)
        return self.last

    def new_conditioning(self, guidance: tuple[float, ...], rows: tuple[int, ...]) -> Conditioning:
        negative, device = self.negative_embeds, self.x.device
        guided = torch.tensor(rows, device=device, dtype=torch.int64)
        prompts = [self.prompt_embeds] if negative is None or not rows else [self.prompt_embeds, negative.rows(guided)]
        twice = [*self.requests, *(self.requests[row] for row in rows)]
        image_scale = [0.0 if request.image_prompt is None else request.image_prompt.scale for request in twice]
        return Conditioning(
            guidance,
            torch.tensor(guidance, device=device, dtype=torch.float32),
            rows,
            guided,
            PromptEmbeds.cat(prompts),
            self.image_embeds_twice(guided),
            torch.tensor(image_scale, device=device, dtype=torch.float32),
            [request.lora for request in twice],
        )

    def image_embeds_twice(self, guided: Tensor) -> Tensor | None:
        """Of all rows, then of the guided ones without their prompt."""
        if self.image_embeds is None:
            return None
        negative = self.negative_image_embeds
        without = torch.zeros_like(self.image_embeds[guided]) if negative is None else negative[guided]
        return torch.cat([self.image_embeds, without])

    def next_step(self) -> tuple[Tensor, Levels, Tensor, Levels]:
        """Of each row: the timestep (n,), its noise level, the solver's weights (n, 3), and the noise level of kept latents
        after the step."""
        now = self.schedule[torch.arange(len(self), device=self.x.device), self.taken]
        t, alpha, sigma, *weights, alpha_kept, sigma_kept = now.T
        level, kept = ((a.view(-1, 1, 1, 1), s.view(-1, 1, 1, 1)) for a, s in ((alpha, sigma), (alpha_kept, sigma_kept)))
        return t, Levels(*level), torch.stack(weights, dim=1), Levels(*kept)

    def advance(self, x: Tensor, x0_previous: Tensor) -> None:
        """The latents after a step."""
        self.x, self.x0_previous = x, x0_previous
        self.taken += 1
        self.steps = [steps[1:] for steps in self.steps]

    def rows(self, numbers: Sequence[int]) -> "Batch":
        """Some of the rows."""
        if len(numbers) == len(self):
            return self
        index = torch.tensor(numbers, device=self.x.device, dtype=torch.int64)
        return Batch(
            [self.requests[number] for number in numbers],
            [self.steps[number] for number in numbers],
            self.taken[index],
            self.schedule[index],
            self.x[index],
            self.x0_previous[index],
            self.eps[index],
            self.x0[index],
            self.mask[index],
            self.prompt_embeds.rows(index),
            None if self.negative_embeds is None else self.negative_embeds.rows(index),
            None if self.image_embeds is None else self.image_embeds[index],
            None if self.negative_image_embeds is None else self.negative_image_embeds[index],
            None if self.inpainting_channels is None else self.inpainting_channels[index],
            None if self.reference is None else self.reference[index],
            [self.caches[number] for number in numbers],
        )

    @classmethod
    def cat(cls, parts: Sequence["Batch"]) -> "Batch":
        """The rows of all parts, one after the other."""
        if len(parts) == 1:
            return parts[0]
        longest = max(part.schedule.shape[1] for part in parts)
        negative = [part.negative_embeds for part in parts if part.negative_embeds is not None]
        return cls(
            [request for part in parts for request in part.requests],
            [steps for part in parts for steps in part.steps],
            torch.cat([part.taken for part in parts]),
            torch.cat([F.pad(part.schedule, (0, 0, 0, longest - part.schedule.shape[1])) for part in parts]),
            torch.cat([part.x for part in parts]),
            torch.cat([part.x0_previous for part in parts]),
            torch.cat([part.eps for part in parts]),
            torch.cat([part.x0 for part in parts]),
            torch.cat([part.mask for part in parts]),
            PromptEmbeds.cat([part.prompt_embeds for part in parts]),
            PromptEmbeds.cat(negative) if negative else None,
            joined([part.image_embeds for part in parts], [len(part) for part in parts]),
            joined([part.negative_image_embeds for part in parts], [len(part) for part in parts]),
            joined([part.inpainting_channels for part in parts], [len(part) for part in parts]),
            joined([part.reference for part in parts], [len(part) for part in parts]),
            [cache for part in parts for cache in part.caches],
        )


def joined(parts: Sequence[Tensor | None], lengths: Sequence[int]) -> Tensor | None:
    """Rows of all parts, zeros for those of a part that is None; None where all are."""
    known = next((part for part in parts if part is not None), None)
    if known is None:
        return None
    zeros = [known.new_zeros(length, *known.shape[1:]) for length in lengths]
    return torch.cat([none if part is None else part for part, none in zip(parts, zeros, strict=True)])


def scale_of(request: Request, step: Step) -> float:
    """The guidance scale of a step: 1, none, outside the request's interval (arXiv 2404.07724)."""
    return request.guidance if is_guided(request, step) else 1.0


def entropy_scale(request: Request, step: Step) -> float:
    """The scale of entropy guidance in a step: 0, none, outside the request's interval."""
    return request.entropy_guidance if is_guided(request, step) else 0.0


def is_guided(request: Request, step: Step) -> bool:
    """Whether a step begins in the request's guidance interval."""
    low, high = request.guidance_interval
    return low <= step.start < high


def schedule_tensor(schedules: Sequence[Sequence[Step]], device: torch.device) -> Tensor:
    """Of each step of n schedules, as `Batch.next_step` takes it apart: (n, longest, 8), zeros after the last.

    Kept latents have the noise level of those that change, and none after the last step.
    """
    table = torch.zeros(len(schedules), max(map(len, schedules)), 8)
    for number, steps in enumerate(schedules):
        columns = [(step.t, *step.level, *step.weights, *step.level_next) for step in steps]
        table[number, : len(steps)] = torch.tensor(columns)
        table[number, len(steps) - 1, -2:] = torch.tensor([1.0, 0.0])
    return table.to(device)


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
