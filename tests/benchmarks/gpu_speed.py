"""What `tests.benchmarks.gpu --speed` measures: the engine beside diffusers and beside bare forwards, and learning.

All make the same images of a random checkpoint of the size of Stable Diffusion 1.5, at 512 pixels a side, then of SDXL, at
1024: 25 DDIM steps, classifier-free guidance, decoded. "Bare forwards" is what no engine can beat: the UNet alone, for as
many rows. Everything is done twice, and measured the second time; the first time, in two steps.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoPipelineForImage2Image, DDIMScheduler, DiffusionPipeline
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from pipelines import spec
from pipelines.backbones.loading import open_backbone
from pipelines.engine.engine import Engine
from pipelines.learning.lora import LoraTraining
from pipelines.learning.textual_inversion import TextualInversion
from pipelines.learning.trainer import Trainer
from pipelines.records import Item, Request
from pipelines.spec import Machine
from pipelines.tensors import choose_dtype
from tests.benchmarks.gpu_check import Case, Figures
from tests.builders import picture
from tests.checkpoints import build, build_xl, full_size

STRENGTHS = (0.25, 0.5, 0.75, 1.0)
PROMPT, GUIDANCE = "a photo of a red bag on grass", 7.5
ITEM = Item("a", "0" * 64, "shoe", None)
WARM = 2  # steps


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    steps: int
    images: int  # an arm
    batches: Sequence[int]  # diffusers' batch sizes, and capacities of the engine
    learning: int  # images in a step of optimisation
    matrix: int = 8192  # rows and columns of the product that measures the card


SIZES = {"SD 1.5, 512": Size(25, 64, (8, 16, 32, 64), 4), "SDXL, 1024": Size(25, 16, (4, 8, 16), 2)}
TINY = Size(4, 4, (2, 4), 2, 256)


class Speed:
    """One checkpoint, taken apart by us and by diffusers, on one device."""

    def __init__(self, checkpoint: Path, device: torch.device, size: Size) -> None:
        self.device, self.size = device, size
        self.backbone = open_backbone(str(checkpoint), Machine(device=str(device)))
        self.text_to_image: Any = DiffusionPipeline.from_pretrained(checkpoint, dtype=self.backbone.dtype).to(device)
        self.text_to_image.scheduler = DDIMScheduler.from_config(self.text_to_image.scheduler.config, clip_sample=False)
        self.image_to_image = AutoPipelineForImage2Image.from_pipe(self.text_to_image)
        for pipeline in (self.text_to_image, self.image_to_image):
            pipeline.set_progress_bar_config(disable=True)
        self.picture = picture(0, self.backbone.resolution)

    def measure(self, work: Callable[[int], object], images: float, steps: int) -> Figures:
        """Seconds an image (or whatever `images` counts) of `work(steps)`, and the most memory it held."""
        work(min(WARM, steps))
        if self.device.type == "cuda":
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        began = time.perf_counter()
        work(steps)
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        figures: Figures = {"seconds_each": float(f"{(time.perf_counter() - began) / images:.4g}")}
        if self.device.type == "cuda":
            figures["GiB"] = round(torch.cuda.max_memory_allocated() / 2**30, 1)
        return figures

    def card(self) -> Figures:
        """The rate of a large matrix product."""
        side, dtype = self.size.matrix, choose_dtype("auto", self.device)
        a, b = (torch.randn(side, side, device=self.device, dtype=dtype) for _ in range(2))
        seconds = self.measure(lambda count: [a @ b for _ in range(count)], 10, 10)["seconds_each"]
        return {"TFLOPs": round(2 * side**3 / seconds / 1e12, 1)}

    @torch.no_grad()
    def forwards(self, batch: int, layout: torch.memory_format, *, compiled: bool = False) -> Figures:
        """Bare forwards of diffusers' UNet: of an image, two rows a step. Once compiled, it stays so."""
        unet = self.text_to_image.unet.to(memory_format=layout)
        x = torch.randn(2 * batch, 4, *[unet.config.sample_size] * 2).to(self.device, self.backbone.dtype)
        t = torch.linspace(1, 900, 2 * batch).long().to(self.device)
        embeds = self.backbone.encode_prompts([PROMPT]).expand(2 * batch)
        tokens, more = embeds.tokens.contiguous(), self.backbone.prompt_arguments(embeds, x)
        with FlopCounterMode(display=False) as counter:
            unet(x[:2], t[:2], tokens[:2], **self.backbone.prompt_arguments(embeds.rows(slice(2)), x[:2]))
        flops, began = counter.get_total_flops() * self.size.steps, time.perf_counter()
        if compiled:
            unet.compile()
            unet(x, t, tokens, **more)
        x, compiling = x.contiguous(memory_format=layout), round(time.perf_counter() - began, 1)
        count = 4  # forwards, measured; an image takes as many as it has steps
        figures = self.measure(
            lambda steps: [unet(x, t, tokens, **more) for _ in range(steps)], batch * count / self.size.steps, count
        )
        rate = {"TFLOPs": round(flops / figures["seconds_each"] / 1e12, 1)}
        return {**figures, **rate, **({"compiling": compiling} if compiled else {})}

    def diffusers(self, batch: int, images: int) -> Figures:
        def work(steps: int) -> None:
            for _ in range(images // batch):
                self.text_to_image([PROMPT] * batch, num_inference_steps=steps, guidance_scale=GUIDANCE)

        return self.measure(work, images, self.size.steps)

    def diffusers_by_strength(self, batch: int) -> Figures:
        image, count = Image.fromarray(self.picture), self.size.images // len(STRENGTHS)

        def work(steps: int) -> None:
            for strength in STRENGTHS:
                for start in range(0, count, batch):
                    rows = min(batch, count - start)
                    inputs = {"image": [image] * rows, "strength": strength, "guidance_scale": GUIDANCE}
                    self.image_to_image([PROMPT] * rows, num_inference_steps=max(4, steps), **inputs)

        return self.measure(work, self.size.images, self.size.steps)

    def engine(self, capacity: int, *, mixed: bool = False) -> Figures:
        engine = Engine(self.backbone, capacity)
        strengths = np.random.default_rng(0).permutation(np.resize(STRENGTHS, self.size.images)).tolist()

        def work(steps: int) -> list[Any]:
            plain = partial(Request, attempt=0, label="shoe", method="", prompt=PROMPT, guidance=GUIDANCE, steps=steps)
            if mixed:
                return list(
                    engine.run(
                        plain(i, seed=i, source=ITEM, image=self.picture, strength=s) for i, s in enumerate(strengths)
                    )
                )
            return list(engine.run(plain(i, seed=i) for i in range(self.size.images)))

        return self.measure(work, self.size.images, self.size.steps)

    def compiled_engine(self, capacity: int) -> Figures:
        """From here on the backbone stays compiled."""
        self.backbone.denoiser.compile()
        return self.engine(capacity)

    def learn(self, trainer: Trainer) -> Figures:
        return self.measure(lambda count: [trainer.step() for _ in range(count)], 10, 10)

    def inversion(self) -> Figures:
        settings = spec.Inversion(batch=self.size.learning, masked=False)
        return self.learn(TextualInversion(self.backbone, [self.picture] * 8, None, "<x>", "shoe", settings, 0).trainer)

    def lora(self) -> Figures:
        training = LoraTraining(
            self.backbone, [self.picture] * 8, [PROMPT] * 8, spec.Lora(batch=self.size.learning), 0
        )  # fmt: skip
        figures = self.learn(training.trainer)
        training.weights()  # takes them out of the UNet again
        return figures


def cases(out: Path, device: torch.device, tiny: bool) -> Iterator[Case]:
    """Measured one after the other; a checkpoint is made when the first case needs it, in `out`."""

    @cache
    def opened(model: str) -> Speed:
        folder, xl = out / model.split(",")[0], model.startswith("SDXL")
        if tiny:
            return Speed(build_xl(folder) if xl else build(folder, kl=True, prediction="epsilon"), device, TINY)
        return Speed(full_size(xl, folder, device, choose_dtype("auto", device)), device, SIZES[model])

    def measured(model: str, measure: Callable[[Speed], Figures]) -> Figures:
        return measure(opened(model))

    for model in SIZES:
        size = TINY if tiny else SIZES[model]
        largest, half = max(size.batches), max(size.batches) // 2
        bare = partial(Speed.forwards, batch=half, layout=torch.contiguous_format)
        measures: dict[str, Callable[[Speed], Figures]] = {
            "card, matrix product": Speed.card,
            "bare forwards, channels-last": partial(Speed.forwards, batch=half, layout=torch.channels_last),
            "bare forwards": bare,
            **{f"engine, capacity {batch}": partial(Speed.engine, capacity=batch) for batch in size.batches},
            **{
                f"diffusers, batch {batch}": partial(Speed.diffusers, batch=batch, images=size.images)
                for batch in size.batches
            },
            "diffusers, one at a time": partial(Speed.diffusers, batch=1, images=2),
            f"engine, mixed strengths, capacity {largest}": partial(Speed.engine, capacity=largest, mixed=True),
            f"diffusers by strength, batch {largest}": partial(Speed.diffusers_by_strength, batch=largest),
            f"textual inversion, a step, batch {size.learning}": Speed.inversion,
            f"LoRA, a step, batch {size.learning}": Speed.lora,
        }
        if device.type == "cuda":
            measures["bare forwards, compiled"] = partial(bare, compiled=True)
            measures[f"engine, compiled, capacity {half}"] = partial(Speed.compiled_engine, capacity=half)
            measures[f"diffusers, compiled, batch {half}"] = partial(Speed.diffusers, batch=half, images=size.images)
        for name, measure in measures.items():
            yield Case(f"{model}: {name}", partial(measured, model, measure))
