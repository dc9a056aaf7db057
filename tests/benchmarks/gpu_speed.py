"""What `tests.benchmarks.gpu --speed` measures: the engine beside diffusers and beside bare forwards, and learning.

All make the same images of a random checkpoint of the size of Stable Diffusion 1.5: 25 DDIM steps, classifier-free guidance,
512 pixels a side, decoded. "Bare forwards" is what no engine can beat: the UNet alone, on the same rows.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMScheduler, StableDiffusionImg2ImgPipeline, StableDiffusionPipeline
from PIL import Image
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pipelines import spec
from pipelines.backbones.loading import open_backbone
from pipelines.engine.engine import Engine
from pipelines.learning.lora import LoraTraining
from pipelines.learning.textual_inversion import TextualInversion
from pipelines.learning.trainer import Trainer
from pipelines.records import Item, Request
from pipelines.tensors import choose_dtype
from tests.benchmarks.gpu_check import Case, Figures, picture
from tests.checkpoints import build, stable_diffusion_15

STRENGTHS = (0.25, 0.5, 0.75, 1.0)
PROMPT, GUIDANCE = "a photo of a red bag on grass", 7.5


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    steps: int
    images: int  # an arm
    batches: Sequence[int]  # diffusers' batch sizes, and capacities of the engine
    learning: int  # optimisation steps
    matrix: int  # rows and columns of the product that measures the card


FULL = Size(25, 64, (8, 16, 32, 64), 10, 8192)
TINY = Size(4, 4, (2, 4), 2, 256)


class Speed:
    """One checkpoint, taken apart by us and by diffusers, on one device."""

    def __init__(self, checkpoint: Path, device: torch.device, size: Size) -> None:
        self.device, self.size = device, size
        self.backbone = open_backbone(str(checkpoint), str(device))
        loaded = StableDiffusionPipeline.from_pretrained(checkpoint, torch_dtype=self.backbone.dtype).to(device)
        loaded.scheduler = DDIMScheduler.from_config(loaded.scheduler.config)
        self.text_to_image, self.image_to_image = loaded, StableDiffusionImg2ImgPipeline(**loaded.components)
        for pipeline in (self.text_to_image, self.image_to_image):
            pipeline.set_progress_bar_config(disable=True)
        self.picture = picture(0, self.backbone.resolution)

    def measure(self, work: Callable[[], object], images: float = 1) -> Figures:
        """Seconds an image (or whatever `images` counts) of a second call, and the most memory it held."""
        work()
        if self.device.type == "cuda":
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        began = time.perf_counter()
        work()
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        figures: Figures = {"seconds_each": float(f"{(time.perf_counter() - began) / images:.4g}")}
        if self.device.type == "cuda":
            figures["GiB"] = round(torch.cuda.max_memory_allocated() / 2**30, 1)
        return figures

    def card(self) -> Figures:
        """The rate of a large matrix product."""
        dtype = choose_dtype("auto", self.device)
        a, b = (torch.randn(self.size.matrix, self.size.matrix, device=self.device, dtype=dtype) for _ in range(2))
        seconds = self.measure(lambda: [a @ b for _ in range(10)], 10)["seconds_each"]
        return {"TFLOPs": round(2 * self.size.matrix**3 / seconds / 1e12, 1)}

    def unet_inputs(self, rows: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        latents = torch.randn(rows, 4, *[self.backbone.unet.config.sample_size] * 2)
        embeds = self.backbone.encode_prompts([PROMPT])[:1].expand(rows, -1, -1).contiguous()
        t = torch.linspace(1, 900, rows).long().to(self.device)
        return latents.to(self.device, self.backbone.dtype), t, embeds

    @torch.no_grad()
    def forwards(self, unet: nn.Module, batch: int, layout: torch.memory_format) -> Figures:
        """Bare forwards: of an image, two rows a step."""
        x, t, embeds = self.unet_inputs(2 * batch)
        x, unet = x.contiguous(memory_format=layout), unet.to(memory_format=layout)  # type: ignore[call-overload]
        with FlopCounterMode(display=False) as counter:
            unet(x[:2], t[:2], embeds[:2])
        figures = self.measure(lambda: [unet(x, t, embeds) for _ in range(4)], batch * 4 / self.size.steps)
        flops = counter.get_total_flops() * self.size.steps
        return {**figures, "TFLOPs": round(flops / figures["seconds_each"] / 1e12, 1)}

    @torch.no_grad()
    def compiled_forwards(self, batch: int) -> Figures:
        """Bare forwards, compiled; so is diffusers' pipeline from here on."""
        x, t, embeds = self.unet_inputs(2 * batch)
        x = x.contiguous(memory_format=torch.channels_last)
        self.text_to_image.unet.to(memory_format=torch.channels_last)
        began = time.perf_counter()
        self.text_to_image.unet.compile()
        self.text_to_image.unet(x, t, embeds)
        compiling = round(time.perf_counter() - began, 1)
        figures = self.measure(
            lambda: [self.text_to_image.unet(x, t, embeds) for _ in range(4)], batch * 4 / self.size.steps
        )
        return {**figures, "compiling": compiling}

    def diffusers(self, batch: int, images: int) -> Figures:
        def work() -> None:
            for _ in range(images // batch):
                self.text_to_image([PROMPT] * batch, num_inference_steps=self.size.steps, guidance_scale=GUIDANCE)

        return self.measure(work, images)

    def diffusers_by_strength(self, batch: int) -> Figures:
        image = Image.fromarray(self.picture)

        def work() -> None:
            for strength in STRENGTHS:
                count = self.size.images // len(STRENGTHS)
                for start in range(0, count, batch):
                    rows = min(batch, count - start)
                    self.image_to_image(
                        [PROMPT] * rows, [image] * rows, strength, self.size.steps, guidance_scale=GUIDANCE
                    )  # fmt: skip

        return self.measure(work, self.size.images)

    def engine(self, capacity: int, mixed: bool = False, layout: torch.memory_format = torch.contiguous_format) -> Figures:
        self.backbone.unet.to(memory_format=layout)
        engine, item = Engine(self.backbone, capacity), Item("a", "0" * 64, "shoe", None)
        plain = {"guidance": GUIDANCE, "steps": self.size.steps}
        strengths = np.random.default_rng(0).permutation(np.resize(STRENGTHS, self.size.images)).tolist()
        stream = [
            Request(i, 0, i, "shoe", "", PROMPT, item, self.picture, strength=strength, **plain)
            if mixed
            else Request(i, 0, i, "shoe", "", PROMPT, **plain)
            for i, strength in enumerate(strengths)
        ]
        return self.measure(lambda: list(engine.run(stream)), self.size.images)

    def steps(self, trainer: Trainer) -> Figures:
        return self.measure(lambda: [trainer.step() for _ in range(self.size.learning)], self.size.learning)

    def inversion(self, batch: int) -> Figures:
        settings = spec.Inversion(batch=batch, masked=False)
        return self.steps(TextualInversion(self.backbone, [self.picture] * 8, None, "<x>", "shoe", settings, 0).trainer)

    def lora(self, batch: int) -> Figures:
        settings = spec.Lora(batch=batch)
        return self.steps(LoraTraining(self.backbone, [self.picture] * 8, [PROMPT] * 8, settings, 0).trainer)


def cases(out: Path, device: torch.device, tiny: bool) -> Iterator[Case]:
    """Measured one after the other; the checkpoint is made first, in `out`."""
    size = TINY if tiny else FULL
    checkpoint = build(out / "tiny", prediction="epsilon")
    if not tiny:
        checkpoint = stable_diffusion_15(out / "sd15", device, choose_dtype("auto", device))
    speed = Speed(checkpoint, device, size)
    largest = max(size.batches)
    yield Case("card, matrix product", speed.card)
    for name, layout in (("channels-last", torch.channels_last), ("contiguous", torch.contiguous_format)):
        yield Case(f"bare forwards, {name}", partial(speed.forwards, speed.backbone.unet, largest // 2, layout))
    for batch in size.batches:
        yield Case(f"engine, capacity {batch}", partial(speed.engine, batch))
    yield Case(f"engine, channels-last, capacity {largest}", partial(speed.engine, largest, layout=torch.channels_last))
    yield Case(f"engine, mixed strengths, capacity {largest}", partial(speed.engine, largest, True))
    for batch in size.batches:
        yield Case(f"diffusers, batch {batch}", partial(speed.diffusers, batch, size.images))
    yield Case("diffusers, one at a time", partial(speed.diffusers, 1, 2))
    yield Case(f"diffusers by strength, batch {largest}", partial(speed.diffusers_by_strength, largest))
    yield Case("textual inversion, a step, batch 4", partial(speed.inversion, 4))
    yield Case("LoRA, a step, batch 4", partial(speed.lora, 4))
    if device.type == "cuda":
        yield Case("bare forwards, compiled", partial(speed.compiled_forwards, largest // 2))
        yield Case(f"diffusers, compiled, batch {largest // 2}", partial(speed.diffusers, largest // 2, size.images))
