"""What `tests.benchmarks.gpu --check` runs: each family of checkpoints, and each method, in bf16 and fp16."""

import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipelines.backbones.backbone import Backbone
from pipelines.backbones.image_prompts import AdapterFiles
from pipelines.backbones.loading import open_backbone
from pipelines.builtin.checkpoints import ADAPTER, resolve
from pipelines.engine.engine import Engine
from pipelines.learning.lora import LoraTraining
from pipelines.learning.textual_inversion import TextualInversion
from pipelines.progress import Silent
from pipelines.records import Image, ImagePrompt, Item, Request
from pipelines.run import run
from pipelines.spec import Inversion, Lora, Machine, Precision, parse
from tests.builders import picture, square
from tests.checkpoints import build, build_3, build_flux, build_xl

PRECISIONS: tuple[Precision, ...] = ("bf16", "fp16")
LIMIT = 12.0  # mean difference in grey levels between a precision and fp32: images of a trained model differ by one or two
Figures = dict[str, Any]
Load = Callable[[str, Precision], Backbone]  # of a device and a precision


@dataclass(frozen=True)
class Case:
    name: str
    run: Callable[[], Figures]  # raises when something is wrong


def requests(side: int, width: int = 0) -> list[Request]:
    """Requests that differ in strength, guidance, mask and, for embeddings `width` wide, image prompts."""
    item = Item("a.png", "0" * 64, "shoe", None)
    plain = Request(0, 0, 0, "shoe", "", "a photo of a red bag on grass", guidance=4, steps=8)
    masked = replace(plain, source=item, image=picture(0, side), mask=square(side), strength=0.8)
    changed = [masked, replace(masked, prompt="a photo of a blue coat", guidance=1, strength=0.5)]
    changed += [plain, replace(plain, guidance=1, steps=5), replace(masked, mask=None, strength=0.6)]
    if width:
        embedding = np.random.default_rng(1).standard_normal(width).astype(np.float32)
        prompt = ImagePrompt(embedding=embedding / np.linalg.norm(embedding), scale=0.6, noise_level=0)
        changed.append(replace(plain, image_prompt=prompt))
    return [replace(one, index=index, seed=100 + index) for index, one in enumerate(changed)]


def pictures(backbone: Backbone, batch_size: int) -> list[Image]:
    prompts = backbone.image_conditioning
    width = 0 if prompts is None else int(prompts.encoder.model.config.projection_dim)
    stream = requests(backbone.resolution, width)
    return [c.image for c in sorted(Engine(backbone, batch_size).run(stream), key=lambda c: c.request.index)]


def differences(some: list[Image], others: list[Image]) -> float:
    """Mean difference of the worst pair, in grey levels."""
    return max(float(np.abs(a.astype(float) - b.astype(float)).mean()) for a, b in zip(some, others, strict=True))


def family(load: Load, device: str, precision: Precision) -> Figures:
    """Images on the device against those of fp32 on the CPU, against themselves, and against one at a time."""
    backbone = load(device, precision)
    got = pictures(backbone, 8)
    if any(image.std() < 1 for image in got):
        raise AssertionError("a blank image: a NaN on the way")
    far = differences(got, pictures(load("cpu", "fp32"), 8))
    if far > LIMIT:
        raise AssertionError(f"{far:.1f} grey levels from fp32")
    again, alone = differences(got, pictures(backbone, 8)), differences(got, pictures(backbone, 1))
    figures = {"from_fp32": round(far, 2), "from_itself": round(again, 3), "from_one_at_a_time": round(alone, 2)}
    return {**figures, **learning(backbone)}


def learning(backbone: Backbone) -> Figures:
    """The loss of a step of LoRA and, where tokens can be learned, of textual inversion."""
    side = backbone.resolution
    images, prompts = [picture(0, side), picture(1, side)], ["a photo of a shoe"] * 2
    trainers = {"lora_loss": LoraTraining(backbone, images, prompts, Lora(rank=2, batch=2), 0).trainer}
    if backbone.text_encoders:
        inversion = Inversion(vectors=2, batch=2)
        token = TextualInversion(backbone, images, [square(side)] * 2, "<boot>", "shoe", inversion, 0)
        trainers["token_loss"] = token.trainer
    losses = {name: round(trainer.step(), 3) for name, trainer in trainers.items()}
    if not all(map(math.isfinite, losses.values())):
        raise AssertionError(f"a loss that is no number: {losses}")
    return losses


def job(method: Mapping[str, Any], folder: Path, device: str, precision: Precision, **changes: Any) -> Figures:
    """A whole job with the bundled model: learning, generation, filters, evaluation."""
    document = {
        "name": method["type"].replace("_", "-"),
        "source": {"type": "spurious", "train": 120, "validation": 40, "test": 40},
        "method": {"steps": 6, **method},
        "amount": {"per_class": 8},
        "classifier": {"steps": 40},
        "filters": [{"type": "quality"}, {"type": "near_duplicate", "similarity": 0.999}, {"type": "clip_score"}],
        "evaluation": {"arms": ["erm", "counterpoise"], "seeds": [0]},
        **changes,
    }
    summary = run(parse(document), folder, Silent(), Machine(device=device, precision=precision))
    curves = [json.loads(path.read_text())["losses"] for path in folder.rglob("curve.json")]
    if not all(math.isfinite(loss) for losses in curves for loss in losses):
        raise AssertionError("a loss that is no number")
    arms = {arm: round(figures["average"]["mean"], 2) for arm, figures in summary["arms"].items()}
    return {"kept": summary["counts"]["kept"], "of": summary["counts"]["planned"], **arms}


INVERSION = {"superclass": "shoe", "inversion": {"images": 8, "steps": 20, "batch": 4}}
HEADS = [{"type": "quality"}, {"type": "label_agreement", "view": "object"}, {"type": "attribution", "steps": 4}]


def cases(out: Path, device: torch.device, tiny: bool) -> Iterator[Case]:
    """Families first, then methods; the tiny checkpoints are written into `out`."""
    model = resolve("builtin", "model")
    adapter = AdapterFiles("builtin", Path(resolve("builtin", "adapter"), ADAPTER), Path(resolve("builtin", "clip")))

    def adapted(device: str, precision: Precision) -> Backbone:
        backbone = open_backbone(model, Machine(device=device, precision=precision))
        backbone.load_ip_adapter(adapter)
        return backbone

    def opened(path: Path) -> Load:
        return lambda device, precision: open_backbone(str(path), Machine(device=device, precision=precision))

    bundled = {"SD, epsilon, bundled": opened(Path(model)), "SD, epsilon, IP-Adapter, bundled": adapted}
    made = {
        "SD 1, tiny": opened(build(out / "1", kl=True, prediction="epsilon")),
        "SD, v, zero terminal SNR, tiny": opened(build(out / "v")),
        "SD inpainting, tiny": opened(build(out / "inpainting", inpainting=True, prediction="epsilon")),
        "SDXL, tiny": opened(build_xl(out / "xl")),
        "SDXL inpainting, tiny": opened(build_xl(out / "xl-inpainting", inpainting=True)),
        "StableUnCLIP, tiny": opened(build(out / "unclip", unclip=True)),
        "SD 3.5, tiny": opened(build_3(out / "3.5")),
        "SD 3 without T5, tiny": opened(build_3(out / "3", t5_encoder=False)),
        "Flux dev, tiny": opened(build_flux(out / "flux-dev")),
        "Flux schnell, tiny": opened(build_flux(out / "flux-schnell", guidance=False)),
    }
    methods: dict[str, dict[str, Any]] = {
        "spurious_removal": {"method": {"type": "spurious_removal", "objects": "both", **INVERSION}, "filters": HEADS},
        "image_variation": {"method": {"type": "image_variation", **INVERSION}},
        "text_to_image, LoRA": {"method": {"type": "text_to_image", "lora": {"steps": 10, "batch": 4, "rank": 4}}},
        "augmented_conditioning": {"method": {"type": "augmented_conditioning"}},
        "cross-attention masks": {
            "method": {"type": "image_variation", **INVERSION},
            "models": {"segmenter": "cross-attention"},
        },
    }
    larger: tuple[Precision, ...] = (
        ("fp32",) if tiny else PRECISIONS
    )  # a CPU takes minutes for the bundled model in half precision
    for families, precisions in ((made, PRECISIONS), (bundled, larger)):
        for (name, load), precision in itertools.product(families.items(), precisions):
            yield Case(f"{name}, {precision}", partial(family, load, str(device), precision))
    for (name, changes), precision in itertools.product(methods.items(), larger):
        folder = out / f"{name}-{precision}".replace(" ", "-").replace(",", "")
        yield Case(f"{name}, {precision}", partial(job, folder=folder, device=str(device), precision=precision, **changes))
