"""The engine: a stream of requests in, a stream of candidates out, through one batch that is refilled at every step.

Requests differ in strength, hence in steps, and in guidance. A fixed batch would wait for its slowest; here every row has
its own latents, place in its schedule, prompt and mask. A tick packs all rows into one forward of the UNet, moves each by
its own solver step, and gives the places of finished rows to the next requests of the stream.
"""

from collections.abc import Iterable, Iterator
from itertools import islice

import torch
from torch import Tensor

from pipelines.backbones.backbone import Backbone
from pipelines.backbones.prompt_embeds import PromptEmbeds
from pipelines.backbones.schedule import add_noise, per_row
from pipelines.chance import derive
from pipelines.engine.batch import Row, image_embeds, latent_mask, same_weights
from pipelines.engine.solver import advance
from pipelines.errors import ModelError
from pipelines.records import Candidate, Request
from pipelines.regions import paste
from pipelines.tensors import images, mask_tensor, tensor

BATCH_SIZE = 32
NOT_FINITE = "engine: pixels that are no numbers; another precision may help: bf16 or fp32"


class Engine:
    """Runs requests on one backbone. `batch_size` bounds its memory, whatever the length of the stream."""

    def __init__(self, backbone: Backbone, batch_size: int = BATCH_SIZE) -> None:
        self.backbone = backbone
        self.batch_size = batch_size
        self.negatives = {"": backbone.unconditional}  # by negative prompt

    @torch.inference_mode()
    def run(self, requests: Iterable[Request]) -> Iterator[Candidate]:
        """Yield one candidate a request, in the order in which they finish: deterministic for the same stream."""
        stream = iter(requests)
        rows: list[Row] = []
        finished: list[Row] = []
        while True:
            free = self.batch_size - len(rows)
            entering = list(islice(stream, free))
            rows += self.admit(entering)
            if rows:
                self.tick(rows)
                finished += [row for row in rows if row.finished]
                rows = [row for row in rows if not row.finished]
            if finished and (len(finished) >= self.batch_size or not rows):
                yield from self.decode(finished)
                finished = []
            if not rows and len(entering) < free:
                return

    def admit(self, requests: list[Request]) -> list[Row]:
        """The rows of new requests: prompt embeddings, noise, and latents of their init images."""
        if not requests:
            return []
        backbone, rows = self.backbone, []
        prompt_embeds = backbone.encode_prompts([request.prompt for request in requests])
        for number, request in enumerate(requests):
            side = (backbone.resolution if request.image is None else request.image.shape[0]) // backbone.vae_scale_factor
            shape = (backbone.latent_channels, side, side)
            eps = torch.randn(shape, generator=torch.Generator().manual_seed(request.seed)).to(backbone.device)
            steps = backbone.schedule.plan(request.steps, request.strength)
            embeds = prompt_embeds.rows(slice(number, number + 1))
            rows.append(Row(request, steps, eps, embeds, eps, self.encode_image_prompt(request)))
        self.start_from_images([row for row in rows if row.request.init_image is not None])
        return rows

    def encode_image_prompt(self, request: Request) -> Tensor | None:
        """The UNet's image embedding of a request's image prompt, its noise drawn from the request's seed."""
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
        pixels = tensor([row.request.init_image for row in rows if row.request.init_image is not None])
        for row, x0 in zip(rows, self.backbone.encode_images(pixels), strict=True):
            row.x0 = x0
            if row.request.strength < 1:
                row.x = add_noise(x0, row.eps, per_row([row.step.abar], x0)[0])
            if not self.backbone.inpainting:
                row.mask = latent_mask(row.request, self.backbone.vae_scale_factor, x0)

    def tick(self, rows: list[Row]) -> None:
        """One forward of the UNet for all rows that share its weights, one solver step for each."""
        x = torch.stack([row.x for row in rows])
        prediction = torch.empty_like(x)
        for (lora, image_scale), indices in same_weights(rows).items():
            with self.backbone.lora_enabled(lora):
                prediction[indices] = self.predict([rows[index] for index in indices], image_scale)
        abar_next = per_row([row.step.abar_next for row in rows], x)
        abar = per_row([row.step.abar for row in rows], x)
        moved = advance(x, prediction, abar, abar_next, self.backbone.schedule.prediction)
        for row, x_next, level in zip(rows, moved, abar_next, strict=True):
            row.x = x_next
            row.taken += 1
            if row.mask is not None and row.x0 is not None:
                kept = row.x0 if row.finished else add_noise(row.x0, row.eps, level)
                row.x = row.mask * x_next + (1 - row.mask) * kept

    def predict(self, rows: list[Row], image_scale: float) -> Tensor:
        """The guided prediction of rows that share weights (classifier-free guidance); only guided rows run twice."""
        x = torch.stack([row.x for row in rows])
        guided = [index for index, row in enumerate(rows) if row.request.guidance > 1]
        t = torch.tensor([row.step.t for row in rows], device=x.device)
        inputs = torch.cat([x, self.inpainting_channels(rows)], dim=1) if self.backbone.inpainting else x
        prediction = self.backbone.predict(
            torch.cat([inputs, inputs[guided]]),
            torch.cat([t, t[guided]]),
            PromptEmbeds.cat([*(row.prompt_embeds for row in rows), *(self.negative(rows[index]) for index in guided)]),
            image_embeds(rows, guided),
            image_scale,
        )
        prediction, unconditional = prediction[: len(rows)], prediction[len(rows) :]
        guidance = per_row([rows[index].request.guidance for index in guided], x)
        prediction[guided] = unconditional + guidance * (prediction[guided] - unconditional)
        return prediction

    def negative(self, row: Row) -> PromptEmbeds:
        """The embeddings of a row's negative prompt."""
        prompt = row.request.negative_prompt
        if prompt not in self.negatives:
            self.negatives[prompt] = self.backbone.encode_prompts([prompt])
        return self.negatives[prompt]

    def inpainting_channels(self, rows: list[Row]) -> Tensor:
        """The further inputs of an inpainting UNet: the mask, and the latents of the masked image."""
        channels = []
        for row in rows:
            request = row.request
            if request.init_image is None:
                channels.append(self.backbone.empty_image(row.x[None]))
                continue
            pixels = tensor([request.init_image])
            everywhere = torch.ones_like(pixels[:, :1])
            mask = everywhere if request.inpaint_mask is None else mask_tensor([request.inpaint_mask])
            changing = latent_mask(request, self.backbone.vae_scale_factor, row.x)
            grid = torch.ones_like(row.x[:1]) if changing is None else changing
            channels.append(torch.cat([grid[None], self.backbone.encode_images(pixels * (1 - mask))], dim=1))
        return torch.cat(channels)

    def decode(self, rows: list[Row]) -> Iterator[Candidate]:
        """Decode finished rows, and paste them back into the original pixels outside the inpainting mask.

        An overflow, of half precision most of all, is a failure of its row alone.
        """
        pixels = self.backbone.decode_latents(torch.stack([row.x for row in rows]))
        numbers = pixels.isfinite().flatten(1).all(dim=1).tolist()
        for request, image, finite in zip([row.request for row in rows], images(pixels), numbers, strict=True):
            original, mask = request.init_image, request.inpaint_mask
            pasted = image if original is None or mask is None else paste(original, image, mask)
            yield Candidate(request, pasted, None if finite else NOT_FINITE)
