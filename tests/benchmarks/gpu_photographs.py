"""What `tests.benchmarks.gpu --photographs` runs: whole jobs on photographs, with random checkpoints of the real size.

Tokens and a LoRA are learned, regions are repainted at the photographs' own resolution, and the filters judge the results:
by Stable Diffusion 1.5 at 512 pixels a side, and by SDXL at 1024. And the engine in a tenth of the card's memory.
"""

import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pipelines.backbones.loading import open_backbone
from pipelines.engine.engine import Engine
from pipelines.job import Job
from pipelines.progress import Silent
from pipelines.records import Request
from pipelines.spec import Machine, parse
from pipelines.store.object_store import Store
from pipelines.tensors import choose_dtype
from pipelines.vision.models import Models
from tests.benchmarks.gpu_check import Case, Figures
from tests.builders import picture
from tests.checkpoints import build, build_xl, full_size

SIZE, TINY = (1200, 1600), (150, 200)  # of a photograph, height and width
STEPS, IMAGES, LEARNING = 25, 32, 10  # denoising steps, images a job, steps of each training
SHARE = 0.1  # of the card's memory


def photographs(folder: Path, height: int, width: int) -> Path:
    """A folder of upright and wide pictures of two classes, as JPEG."""
    for number in range(24):
        label, split = ("shoe", "bag")[number % 2], ("train", "train", "validation", "test")[number // 2 % 4]
        size = (width, height) if number % 3 else (height, width)
        place = folder / split / label / f"{number}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(number)).resize(size, Image.Resampling.BICUBIC).save(place, quality=90)
    return folder


def job(checkpoint: Path, size: tuple[int, int], folder: Path, device: torch.device, images: int, batch: int) -> Figures:
    """Seconds and memory of learning and of generating, filters and all."""
    document = {
        "name": "photographs",
        "source": {"type": "folder", "path": str(photographs(folder / "photographs", *size))},
        "models": {"text_to_image": str(checkpoint), "segmenter": "cross-attention"},
        "method": {
            "type": "spurious_removal", "superclass": "shoe", "steps": STEPS, "guidance": 7.5, "objects": "both",
            "inversion": {"images": 4, "steps": LEARNING, "batch": batch}, "lora": {"steps": LEARNING, "batch": batch},
        },
        "amount": {"total": images},
        "filters": [{"type": "quality"}, {"type": "near_duplicate"}, {"type": "label_agreement"}, {"type": "attribution"}],
        "classifier": {"steps": 4, "batch": 8},
        "max_attempts": 1,
    }  # fmt: skip
    spec = parse(document)
    machine = Machine(device=str(device), capacity=max(4, images // 2))
    opened = Job(spec, Store.open(folder / "store"), Silent(), models=Models(spec.models, machine))
    opened.check()
    figures = {"learning": measured(opened.learn, device), "generating": measured(lambda: opened.generate([0]), device)}
    counts = opened.finalize()["counts"]
    return {**figures, "images": images, "kept": counts["kept"], "generated": counts["generated"]}


def measured(work: Callable[[], object], device: torch.device) -> str:
    """'12.3 s, 8.1 GiB'."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    work()
    held = f", {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB" if device.type == "cuda" else ""
    return f"{time.perf_counter() - began:.1f} s{held}"


def limited(checkpoint: Path, device: torch.device, images: int) -> Figures:
    """The engine in a small share of the memory: how many images at a time fit, and that none is lost."""
    engine = Engine(open_backbone(str(checkpoint), Machine(device=str(device))), images)
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(SHARE)
    try:
        made = list(engine.run(Request(n, 0, n, "shoe", "", "a photo of a shoe", steps=2) for n in range(images)))
    finally:
        if device.type == "cuda":
            torch.cuda.set_per_process_memory_fraction(1.0)
    finite = sum(candidate.failure is None and float(np.std(candidate.image)) > 0 for candidate in made)
    return {"capacity": f"{images} -> {engine.capacity}", "images": len(made), "whole": finite}


def cases(out: Path, device: torch.device, tiny: bool) -> Iterator[Case]:
    @cache
    def made(xl: bool) -> Path:
        folder = out / ("xl" if xl else "1.5")
        if tiny:
            return build_xl(folder) if xl else build(folder, kl=True, prediction="epsilon")
        return full_size(xl, folder, device, choose_dtype("auto", device))

    def on_photographs(xl: bool, folder: Path, count: int, batch: int) -> Figures:
        return job(made(xl), TINY if tiny else SIZE, folder, device, count, batch)

    images = 4 if tiny else IMAGES
    for xl, name in ((False, "SD 1.5, 512"), (True, "SDXL, 1024")):
        batch, count = (2, images // 2) if xl else (4, images)
        folder = out / f"job-{'xl' if xl else '1.5'}"
        yield Case(f"{name}: photographs", partial(on_photographs, xl, folder, count, batch))
    yield Case("SD 1.5, 512: engine in a tenth of the memory", lambda: limited(made(False), device, images))
