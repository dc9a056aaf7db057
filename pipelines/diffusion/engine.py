"""The engine: a stream of requests in, a stream of images out, through one batch that is never idle.

Requests differ in strength, hence in steps, and in guidance. A fixed batch would wait for its slowest; here every
request holds a slot with its own latents, place in its schedule, prompt and mask. A tick packs all slots into one UNet
forward, moves each by its own solver step, and gives the slots of those that finished to the next in the stream.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import PIL.Image
import torch
from PIL import ImageFilter
from torch import Tensor
from torch.nn import functional as F

from pipelines.chance import derive
from pipelines.diffusion.model import DiffusionModel
from pipelines.diffusion.solver import Step, advance, levels, noised
from pipelines.errors import ModelError
from pipelines.records import Candidate, Image, Mask, Request
from pipelines.tensors import images, mask_tensor, tensor

FEATHER = 1.0  # pixels over which a repainted region fades into its surroundings, at 64 px


@dataclass(slots=True)
class Slot:
    """A request on its way."""

    request: Request
    steps: list[Step]
    x: Tensor  # (channels, h, w)
    context: Tensor  # (length, width)
    x0: Tensor | None = None  # latents of the source image
    eps: Tensor | None = None  # the noise it started from
    shown: Tensor | None = None  # what the UNet sees of its image prompt
    mask: Tensor | None = None  # (1, h, w), 1 where to repaint; an inpainting UNet keeps the rest by itself
    done: int = 0  # steps taken

    @property
    def step(self) -> Step:
        return self.steps[self.done]


class Engine:
    """Runs requests on one model. `slots` bounds the batch, hence the memory, whatever the length of the stream."""

    def __init__(self, model: DiffusionModel, slots: int = 32) -> None:
        self.model = model
        self.slots = slots
        self.empty = model.read([""])[0]

    @torch.inference_mode()
    def run(self, requests: Iterable[Request]) -> Iterator[Candidate]:
        """Yield one candidate a request, in the order in which they finish: deterministic for the same stream."""
        stream = iter(requests)
        active: list[Slot] = []
        finished: list[Slot] = []
        while True:
            free = self.slots - len(active)
            entering = list(islice(stream, free))
            active += self.admit(entering)
            if active:
                self.tick(active)
                finished += [slot for slot in active if slot.done == len(slot.steps)]
                active = [slot for slot in active if slot.done < len(slot.steps)]
            if finished and (len(finished) >= self.slots or not active):
                yield from self.develop(finished)
                finished = []
            if not active and len(entering) < free:
                return

    def admit(self, requests: list[Request]) -> list[Slot]:
        """Prepare the slots of new requests: prompts, source latents and noise."""
        if not requests:
            return []
        contexts = self.model.read([r.prompt for r in requests])
        slots = []
        for request, context in zip(requests, contexts, strict=True):
            side = self.model.resolution if request.image is None else request.image.shape[0]
            shape = (self.model.channels, side // self.model.scale, side // self.model.scale)
            eps = torch.randn(shape, generator=torch.Generator().manual_seed(request.seed)).to(self.model.device)
            steps = self.model.schedule.plan(request.steps, request.strength)
            slots.append(Slot(request, steps, eps, context, eps=eps, shown=self.shown(request)))
        self.condition([slot for slot in slots if slot.request.start is not None])
        return slots

    def shown(self, request: Request) -> Tensor | None:
        """What the UNet sees of a request's image prompt, its noise drawn from the request's seed."""
        if request.shown is None:
            return None
        if self.model.sight is None:
            raise ModelError("models.text_to_image: the checkpoint cannot see image prompts; give it an adapter")
        generator = torch.Generator().manual_seed(derive(request.seed, "image prompt"))
        embedding = torch.from_numpy(request.shown.embedding)
        return self.model.sight.condition(embedding, request.shown.level, generator).to(self.model.device)

    def condition(self, slots: list[Slot]) -> None:
        """Start from the source image where there is one, and note which cells of it may change."""
        if not slots:
            return
        latents = self.model.encode(tensor([s.request.start for s in slots if s.request.start is not None]))
        for slot, x0 in zip(slots, latents, strict=True):
            slot.x0 = x0
            assert slot.eps is not None
            if slot.request.strength < 1:
                slot.x = noised(x0, slot.eps, levels([slot.step.abar], x0)[0])
            if not self.model.inpainting:
                slot.mask = cells(slot.request, self.model.scale, x0)

    def tick(self, active: list[Slot]) -> None:
        """One UNet forward for all that share its weights, one solver step for each."""
        x = torch.stack([slot.x for slot in active])
        output = torch.empty_like(x)
        for (lora, scale), rows in alike(active).items():
            with self.model.using(lora):
                output[rows] = self.ask([active[row] for row in rows], scale)
        abar_next = levels([slot.step.abar_next for slot in active], x)
        abar = levels([slot.step.abar for slot in active], x)
        moved = advance(x, output, abar, abar_next, self.model.schedule.prediction)
        for slot, after, level in zip(active, moved, abar_next, strict=True):
            slot.x = after
            slot.done += 1
            if slot.mask is not None and slot.x0 is not None and slot.eps is not None:
                kept = slot.x0 if slot.done == len(slot.steps) else noised(slot.x0, slot.eps, level)
                slot.x = slot.mask * after + (1 - slot.mask) * kept

    def ask(self, active: list[Slot], scale: float) -> Tensor:
        """What the UNet says of the slots, guided. Only guided slots take a second row."""
        x = torch.stack([slot.x for slot in active])
        guided = [row for row, slot in enumerate(active) if slot.request.guidance > 1]
        t = torch.tensor([slot.step.t for slot in active], device=x.device)
        context = torch.stack([slot.context for slot in active])
        inputs = torch.cat([x, self.extra(active)], dim=1) if self.model.inpainting else x
        seen = [slot.shown for slot in active if slot.shown is not None]
        shown = None
        if seen:
            blind = torch.zeros_like(seen[0])
            rows = [blind if slot.shown is None else slot.shown for slot in active]
            shown = torch.stack([*rows, *[blind for _ in guided]])
        output = self.model.predict(
            torch.cat([inputs, inputs[guided]]),
            torch.cat([t, t[guided]]),
            torch.cat([context, self.empty.expand(len(guided), *self.empty.shape)]),
            shown,
            scale,
        )
        output, unconditional = output[: len(active)], output[len(active) :]
        weight = levels([active[row].request.guidance for row in guided], x)
        output[guided] = unconditional + weight * (output[guided] - unconditional)
        return output

    def extra(self, active: list[Slot]) -> Tensor:
        """What an inpainting UNet takes beside the latents: the mask and the latents of the image without the region."""
        rows = []
        for slot in active:
            if slot.request.start is None:
                raise ModelError("models.text_to_image: an inpainting checkpoint needs a source image; use a plain one here")
            picture = tensor([slot.request.start])
            whole = torch.ones_like(picture[:, :1])
            mask = whole if slot.request.painted is None else mask_tensor([slot.request.painted])
            changing = cells(slot.request, self.model.scale, slot.x)
            grid = torch.ones_like(slot.x[:1]) if changing is None else changing
            rows.append(torch.cat([grid[None], self.model.encode(picture * (1 - mask))], dim=1))
        return torch.cat(rows)

    def develop(self, slots: list[Slot]) -> Iterator[Candidate]:
        """Decode a batch, and put back every original pixel outside the regions."""
        decoded = images(self.model.decode(torch.stack([slot.x for slot in slots])))
        for slot, picture in zip(slots, decoded, strict=True):
            request = slot.request
            if request.start is not None and request.painted is not None:
                picture = paste(request.start, picture, request.painted)
            yield Candidate(request, picture)


def alike(active: list[Slot]) -> dict[tuple[str | None, float], list[int]]:
    """The slots by what the UNet must be set to for them: its LoRA, and how much it heeds image prompts."""
    found: dict[tuple[str | None, float], list[int]] = {}
    for row, slot in enumerate(active):
        scale = 0.0 if slot.request.shown is None else slot.request.shown.scale
        found.setdefault((slot.request.lora, scale), []).append(row)
    return found


def cells(request: Request, scale: int, like: Tensor) -> Tensor | None:
    """Which cells of the latent grid change, (1, h, w), 1 or 0; None: all.

    A cell changes when any of its pixels does, unless a real object fills half of it: the model must see what it joins.
    """
    if request.mask is None:
        return None
    changing = F.max_pool2d(mask_tensor([request.mask]), scale)[0]
    if request.graft is not None:
        changing = changing * (F.avg_pool2d(mask_tensor([request.graft.mask]), scale)[0] < 0.5)
    return changing.to(like)


def paste(original: Image, painted: Image, mask: Mask) -> Image:
    """`painted` inside the mask, fading out at its inner edge; exactly `original` outside."""
    soft = PIL.Image.fromarray(mask.astype(np.uint8) * 255).filter(ImageFilter.GaussianBlur(FEATHER * mask.shape[0] / 64))
    alpha = (np.clip(np.asarray(soft, np.float32) / 127.5 - 1, 0, 1) * mask)[..., None]
    mixed: Image = np.round(original * (1 - alpha) + painted * alpha).astype(np.uint8)
    return mixed
