"""The engine: a stream of requests in, a stream of candidates out, through one batch that is refilled at every step.

Requests differ in strength, hence in steps, and in guidance. A fixed batch would wait for its slowest; here every row has
its own latents, place in its schedule, prompt and mask. A tick packs all rows into one forward of the denoiser, moves each
by its own solver step, and gives the places of finished rows to the next requests of the stream.
"""

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from pipelines.backbones.backbone import Backbone
from pipelines.backbones.prompt_embeds import PromptEmbeds
from pipelines.backbones.schedule import Levels, add_noise, per_row
from pipelines.chance import derive
from pipelines.engine.batch import Row, image_embeds, image_scale, latent_mask
from pipelines.engine.capacity import Capacity
from pipelines.engine.guidance import guide
from pipelines.engine.solver import advance
from pipelines.errors import ModelError
from pipelines.records import Candidate, Image, Request
from pipelines.regions import paste
from pipelines.tensors import images, mask_tensor, tensor

NOT_FINITE = "engine: pixels that are no numbers; another precision may help: bf16 or fp32"


class Engine:
    """Runs requests on one backbone, `capacity` at a time: that bounds its memory, whatever the length of the stream."""

    def __init__(self, backbone: Backbone, capacity: int = 32) -> None:
        self.backbone = backbone
        self.fitting = Capacity(capacity)
        self.negatives: dict[str, PromptEmbeds] = {}  # by negative prompt

    @property
    def capacity(self) -> int:
        """Requests in the batch at most; fewer than at first where memory ran out."""
        return self.fitting.rows

    @torch.inference_mode()
    def run(self, requests: Iterable[Request]) -> Iterator[Candidate]:
        """Yield one candidate a request, in the order in which they finish: deterministic for the same stream."""
        stream = iter(requests)
        rows: list[Row] = []
        finished: list[Row] = []
        while True:
            free = max(0, self.capacity - len(rows))
            entering = list(islice(stream, free))
            embeds, failures = self.encode_prompts(entering)
            yield from failures
            rows += self.admit(embeds)
            if rows:
                self.tick(rows)
                finished += [row for row in rows if row.finished]
                rows = [row for row in rows if not row.finished]
            if finished and (len(finished) >= self.capacity or not rows):
                yield from self.decode(finished)
                finished = []
            if not rows and len(entering) < free:
                return

    def encode_prompts(self, requests: list[Request]) -> tuple[list[tuple[Request, PromptEmbeds]], list[Candidate]]:
        """The requests with the embeddings of their prompts, and those that have none as failures, with the reason.

        Raises ModelError where none of several has any: then it is no fault of a single one.
        """
        if not requests:
            return [], []
        try:
            together = self.backbone.encode_prompts([request.prompt for request in requests])
            return [(request, together.rows(slice(n, n + 1))) for n, request in enumerate(requests)], []
        except ModelError:
            embeds, failures = [], []
        for request in requests:
            try:
                embeds.append((request, self.backbone.encode_prompts([request.prompt])))
            except ModelError as error:
                black = np.zeros((*image_size(request, self.backbone.resolution), 3), np.uint8)
                failures.append(Candidate(request, black, f"engine: {error}"))
                if len(failures) == len(requests):
                    raise
        return embeds, failures

    def admit(self, requests: list[tuple[Request, PromptEmbeds]]) -> list[Row]:
        """The rows of new requests: noise, and latents of their init images."""
        backbone, rows = self.backbone, []
        for request, embeds in requests:
            size = image_size(request, backbone.resolution)
            shape = (backbone.latent_channels, *(side // backbone.vae_scale_factor for side in size))
            eps = torch.randn(shape, generator=torch.Generator().manual_seed(request.seed)).to(backbone.device)
            steps = backbone.schedule.plan(request.steps, request.strength, backbone.patches(eps))
            rows.append(Row(request, steps, eps, embeds, eps, self.encode_image_prompt(request)))
        self.start_from_images([row for row in rows if row.request.init_image is not None])
        if backbone.inpainting:
            self.show_surroundings(rows)
        return rows

    def encode_image_prompt(self, request: Request) -> Tensor | None:
        """The backbone's image embedding of a request's image prompt, its noise drawn from the request's seed."""
        prompt, conditioning = request.image_prompt, self.backbone.image_conditioning
        if prompt is None:
            return None
        if conditioning is None:
            raise ModelError("models.text_to_image: the checkpoint cannot see image prompts; give it an adapter")
        generator = torch.Generator().manual_seed(derive(request.seed, "image prompt"))
        return conditioning.embeds(torch.from_numpy(prompt.embedding), prompt.noise_level, generator).to(
            self.backbone.device
        )

    def start_from_images(self, rows: list[Row]) -> None:
        """Start rows from the latents of their init images, noised to their strength, with the mask of what may change."""
        if not rows:
            return
        originals = [row.request.init_image for row in rows if row.request.init_image is not None]
        latents = self.fitting.map(lambda part: self.backbone.encode_images(tensor(part)), originals)
        for row, x0 in zip(rows, latents, strict=True):
            row.x0 = x0
            if row.request.strength < 1:
                row.x = add_noise(x0, row.eps, Levels.of([row.step.level], x0).row(0))
            if not self.backbone.inpainting:
                row.mask = latent_mask(row.request, self.backbone.vae_scale_factor, x0)

    def tick(self, rows: list[Row]) -> None:
        """One forward of the denoiser for all rows, one solver step for each."""
        x = torch.stack([row.x for row in rows])
        prediction = self.fitting.map(self.predict, rows)
        levels_next = Levels.of([row.step.level_next for row in rows], x)
        levels = Levels.of([row.step.level for row in rows], x)
        moved = advance(x, prediction, levels, levels_next, self.backbone.schedule.prediction)
        for index, (row, x_next) in enumerate(zip(rows, moved, strict=True)):
            row.x = x_next
            row.taken += 1
            if row.mask is not None and row.x0 is not None:
                kept = row.x0 if row.finished else add_noise(row.x0, row.eps, levels_next.row(index))
                row.x = row.mask * x_next + (1 - row.mask) * kept

    def predict(self, rows: list[Row]) -> Tensor:
        """The guided prediction of rows.

        Of classifier-free guidance, guided rows run twice; elsewhere the scale is an input of the denoiser.
        """
        x = torch.stack([row.x for row in rows])
        guidance = [row.request.guidance for row in rows]
        guided = [index for index, scale in enumerate(guidance) if scale > 1 and self.backbone.classifier_free]
        t = torch.tensor([row.step.t for row in rows], device=x.device)
        channels = [row.inpainting_channels for row in rows if row.inpainting_channels is not None]
        inputs = torch.cat([x, torch.stack(channels)], dim=1) if channels else x
        twice = [*rows, *(rows[index] for index in guided)]
        with self.backbone.loras.of_rows([row.request.lora for row in twice]):
            prediction = self.backbone.predict(
                torch.cat([inputs, inputs[guided]]),
                torch.cat([t, t[guided]]),
                PromptEmbeds.cat([*(row.prompt_embeds for row in rows), *(self.negative(rows[i]) for i in guided)]),
                image_embeds(rows, guided),
                image_scale(twice),
                None if self.backbone.classifier_free else torch.tensor(guidance, device=x.device, dtype=torch.float32),
            )
        prediction, unconditional = prediction[: len(rows)], prediction[len(rows) :]
        if guided:
            scale = per_row([guidance[index] for index in guided], x)
            rescale = per_row([rows[index].request.guidance_rescale for index in guided], x)
            prediction[guided] = guide(prediction[guided], unconditional, scale, rescale)
        return prediction

    def negative(self, row: Row) -> PromptEmbeds:
        """The embeddings of a row's negative prompt."""
        prompt = row.request.negative_prompt
        if prompt not in self.negatives:
            backbone = self.backbone
            self.negatives[prompt] = backbone.encode_prompts([prompt]) if prompt else backbone.unconditional
        return self.negatives[prompt]

    def show_surroundings(self, rows: list[Row]) -> None:
        """Give rows the further inputs of an inpainting denoiser: the mask, and the latents of the masked image."""
        repainted = [row for row in rows if row.request.init_image is not None]
        for row in rows:
            row.inpainting_channels = self.backbone.empty_image(row.x[None])[0]
        if not repainted:
            return
        masked = [masked_image(row.request) for row in repainted]
        latents = self.fitting.map(lambda part: self.backbone.encode_images(torch.cat(part)), masked)
        for row, surroundings in zip(repainted, latents, strict=True):
            changing = latent_mask(row.request, self.backbone.vae_scale_factor, row.x)
            grid = torch.ones_like(row.x[:1]) if changing is None else changing
            row.inpainting_channels = torch.cat([grid, surroundings])

    def decode(self, rows: list[Row]) -> Iterator[Candidate]:
        """Decode finished rows, and put them back into their originals.

        An overflow, of half precision most of all, is a failure of its row alone.
        """
        pixels = self.fitting.map(lambda part: self.backbone.decode_latents(torch.stack(part)), [row.x for row in rows])
        numbers = pixels.isfinite().flatten(1).all(dim=1).tolist()
        for request, image, finite in zip([row.request for row in rows], images(pixels), numbers, strict=True):
            yield Candidate(request, composed(request, image), None if finite else NOT_FINITE)


def image_size(request: Request, resolution: int) -> tuple[int, int]:
    """Height and width of a request's image; `resolution` is the checkpoint's."""
    if request.image is not None:
        return request.image.shape[0], request.image.shape[1]
    return request.size or (resolution, resolution)


def masked_image(request: Request) -> Tensor:
    """What is known of a request's image, (1, 3, h, w) in -1..1: grey where it is painted."""
    pixels = tensor([request.init_image] if request.init_image is not None else [])
    mask = torch.ones_like(pixels[:, :1]) if request.inpaint_mask is None else mask_tensor([request.inpaint_mask])
    return pixels * (1 - mask)


def composed(request: Request, image: Image) -> Image:
    """What was painted, in the original outside the region, and with the grafted object on top."""
    if request.image is None or request.mask is None:
        return image
    pasted = paste(request.image, image, request.mask)
    return pasted if request.graft is None else paste(pasted, request.graft.image, request.graft.mask)
