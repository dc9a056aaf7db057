"""Admission: requests become rows of a batch. Prompts and images are encoded, for several requests at a time."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipelines.backbones.backbone import Backbone
from pipelines.backbones.prompt_embeds import PromptEmbeds
from pipelines.backbones.schedule import Level, Levels, Step, add_noise
from pipelines.chance import derive
from pipelines.engine.batch import Batch, joined, latent_mask, schedule_tensor
from pipelines.engine.caching import RowCache
from pipelines.engine.capacity import Capacity
from pipelines.engine.latents import SourceLatents
from pipelines.errors import ModelError
from pipelines.records import Candidate, Mask, Request

Embedding = NDArray[np.float32]  # (width,), of an image
Prompt = tuple[str, str | None]  # with the key of the LoRA that it is encoded with

PROMPTS = 1024  # whose embeddings are kept, and as many schedules: most requests share theirs with others


class Admission:
    """Of one stream of requests, in which tokens stay what they are: a prompt is encoded once."""

    def __init__(self, backbone: Backbone, fitting: Capacity) -> None:
        self.backbone, self.latents = backbone, SourceLatents(backbone, fitting)
        self.embeds: dict[Prompt, PromptEmbeds] = {}
        self.negative_embeds: dict[Prompt, PromptEmbeds] = {}
        self.schedules: dict[tuple[int, float, int, str], list[Step]] = {}
        self.unreadable: dict[Prompt, ModelError] = {}  # why it has no embedding

    def admit(self, requests: Sequence[Request]) -> tuple[list[Batch], list[Candidate]]:
        """The rows of requests, a batch for each size; and failures, of those whose prompt cannot be encoded.

        Raises ModelError while no prompt of the stream could be: then it is no fault of a single one.
        """
        self.encode_prompts([self.prompt(request) for request in requests])
        failures, groups = list[Candidate](), dict[tuple[int, int], list[Request]]()
        for request in requests:
            size = image_size(request, self.backbone.resolution)
            if self.prompt(request) in self.embeds:
                groups.setdefault(size, []).append(request)
                continue
            error = self.unreadable[self.prompt(request)]
            if not self.embeds:
                raise error
            failures.append(Candidate(request, np.zeros((*size, 3), np.uint8), f"engine: {error}"))
        return [self.batch(group, size) for size, group in groups.items()], failures

    def prompt(self, request: Request) -> Prompt:
        return request.prompt, self.lora(request)

    def lora(self, request: Request) -> str | None:
        """What a request's prompts are encoded with, beside the checkpoint."""
        return request.lora if self.backbone.loras.of_prompts else None

    def encode_prompts(self, prompts: Sequence[Prompt]) -> None:
        """Encode those that are new."""
        if len(self.embeds) > PROMPTS:
            self.embeds.clear()
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self.embeds and prompt not in self.unreadable]
        if not new:
            return
        try:
            together = self.encode(new)
            self.embeds |= {prompt: together.rows(slice(n, n + 1)) for n, prompt in enumerate(new)}
        except ModelError:
            for prompt in new:
                try:
                    self.embeds[prompt] = self.encode([prompt])
                except ModelError as error:
                    self.unreadable[prompt] = error

    def encode(self, prompts: Sequence[Prompt]) -> PromptEmbeds:
        with self.backbone.loras.of_rows([lora for _, lora in prompts]):
            return self.backbone.encode_prompts([text for text, _ in prompts])

    def negative(self, request: Request) -> PromptEmbeds:
        """The embeddings of a request's negative prompt."""
        prompt = text, lora = request.negative_prompt, self.lora(request)
        if prompt not in self.negative_embeds:
            with self.backbone.loras.of_rows([lora]):
                self.negative_embeds[prompt] = self.backbone.encode_prompts([text]) if text else self.backbone.unconditional
        return self.negative_embeds[prompt]

    def batch(self, requests: list[Request], size: tuple[int, int]) -> Batch:
        """The rows of requests of one size: noise, schedules, and latents of their init images."""
        backbone = self.backbone
        eps = torch.stack([self.noise(request, size) for request in requests]).to(backbone.device)
        patches = backbone.patches(eps)
        schedules = [self.schedule(request, patches) for request in requests]
        x0, x = self.starts(requests, eps, [steps[0].level for steps in schedules])
        masks = torch.stack([latent_mask(request, backbone.vae_scale_factor, eps[0]) for request in requests])
        guided, prompts = backbone.classifier_free, [request.image_prompt for request in requests]
        return Batch(
            requests=requests,
            steps=schedules,
            taken=torch.zeros(len(requests), dtype=torch.int64, device=backbone.device),
            schedule=schedule_tensor(schedules, eps.device),
            x=x,
            x0_previous=torch.zeros_like(x),
            eps=eps,
            x0=x0,
            mask=masks,
            prompt_embeds=PromptEmbeds.cat([self.embeds[self.prompt(request)] for request in requests]),
            negative_embeds=PromptEmbeds.cat([self.negative(request) for request in requests]) if guided else None,
            image_embeds=self.image_embeds(requests, [None if p is None else p.embedding for p in prompts]),
            negative_image_embeds=self.image_embeds(requests, [None if p is None else p.negative for p in prompts]),
            inpainting_channels=self.image_channels(requests, masks, eps),
            reference=joined([self.reference(request, size) for request in requests], [1] * len(requests)),
            caches=[RowCache() for _ in requests],
        )

    def schedule(self, request: Request, patches: int) -> list[Step]:
        """The steps of a request, for latents of so many patches. Most requests share theirs with others."""
        key = request.steps, request.strength, patches, request.solver
        if key not in self.schedules:
            if len(self.schedules) > PROMPTS:
                self.schedules.clear()
            self.schedules[key] = list(self.backbone.schedule.plan(*key))
        return self.schedules[key]

    def noise(self, request: Request, size: tuple[int, int]) -> Tensor:
        """The noise that a request starts from, (channels, h, w), of its seed alone."""
        height, width = (side // self.backbone.vae_scale_factor for side in size)
        generator = torch.Generator().manual_seed(request.seed)
        return torch.randn((self.backbone.latent_channels, height, width), generator=generator)

    def reference(self, request: Request, size: tuple[int, int]) -> Tensor | None:
        """What the reference of a request starts from, (1, 2, channels, h, w): noise, and nothing predicted before."""
        if request.negative_merging is None:
            return None
        noise = self.noise(replace(request, seed=request.negative_merging.reference_seed), size)
        return torch.stack([noise, torch.zeros_like(noise)])[None].to(self.backbone.device)

    def starts(self, requests: Sequence[Request], eps: Tensor, levels: Sequence[Level]) -> tuple[Tensor, Tensor]:
        """Latents of the init images, zeros where there is none; and what denoising starts from: these, noised to the level
        of the first step, or noise."""
        x0, x = torch.zeros_like(eps), eps.clone()
        numbers = [number for number, request in enumerate(requests) if request.init_image is not None]
        if not numbers:
            return x0, x
        originals = [(image, None) for request in requests if (image := request.init_image) is not None]
        x0[torch.tensor(numbers, device=eps.device)] = self.latents.encode(originals)
        partial = [number for number in numbers if requests[number].strength < 1]
        if partial:
            index = torch.tensor(partial, device=eps.device)
            x[index] = add_noise(x0[index], eps[index], Levels.of([levels[number] for number in partial], eps))
        return x0, x

    def image_embeds(self, requests: Sequence[Request], embeddings: Sequence[Embedding | None]) -> Tensor | None:
        """The backbone's image embeddings of these; None where all are."""
        rows = [self.image_embed(*pair) for pair in zip(requests, embeddings, strict=True)]
        return joined(rows, [1] * len(requests))

    def image_embed(self, request: Request, embedding: Embedding | None) -> Tensor | None:
        """The backbone's image embedding, (1, width), of one for a request; noise for it is drawn from its seed."""
        if embedding is None or request.image_prompt is None:
            return None
        conditioning = self.backbone.image_conditioning
        if conditioning is None:
            raise ModelError("models.text_to_image: the checkpoint cannot see image prompts; give it an adapter")
        generator = torch.Generator().manual_seed(derive(request.seed, "image prompt"))
        embeds = conditioning.embeds(torch.from_numpy(embedding), request.image_prompt.noise_level, generator)
        return embeds[None].to(self.backbone.device)

    def image_channels(self, requests: Sequence[Request], masks: Tensor, like: Tensor) -> Tensor | None:
        """What the denoiser takes of images beside latents: an editing one the image's latents, unscaled."""
        backbone = self.backbone
        if not backbone.editing:
            return self.inpainting_channels(requests, masks, like) if backbone.inpainting else None
        originals = [(request.image, None) for request in requests if request.image is not None]
        if len(originals) < len(requests):
            raise ModelError(f"models.text_to_image: {backbone.name!r} edits images, and a request has none; use edit_mix")
        scale: float = backbone.vae.config.scaling_factor
        return self.latents.encode(originals) / scale

    def inpainting_channels(self, requests: Sequence[Request], masks: Tensor, like: Tensor) -> Tensor:
        """What an inpainting denoiser takes beside latents: the mask, and the latents of the masked image."""
        channels = self.backbone.empty_image(like).clone()
        masked = {
            number: (image, painted(request))
            for number, request in enumerate(requests)
            if (image := request.init_image) is not None
        }
        if masked:
            index = torch.tensor(list(masked), device=like.device)
            channels[index] = torch.cat([masks[index], self.latents.encode(list(masked.values()))], dim=1)
        return channels


def image_size(request: Request, resolution: int) -> tuple[int, int]:
    """Height and width of a request's image; `resolution` is the checkpoint's."""
    if request.image is not None:
        return request.image.shape[0], request.image.shape[1]
    return request.size or (resolution, resolution)


def painted(request: Request) -> Mask:
    """Which pixels of a request's image are painted."""
    return np.ones(image_size(request, 0), np.bool_) if request.inpaint_mask is None else request.inpaint_mask
