"""The engine beside diffusers' pipelines and beside bare forwards of the denoiser, on the same requests.

`loop` calls a pipeline for each image, as the papers' code does; `batched` for as many of equal strength as the engine's
batch has places. Both encode a prompt once, as the engine does, and their UNet has its memory layout. `limit` is what no
engine can beat: the denoiser alone, for exactly as many rows, in full batches.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from itertools import groupby

import numpy as np
import torch

from pipelines.backbones.loading import open_backbone
from pipelines.builtin.checkpoints import resolve
from pipelines.engine.batch import scale_of
from pipelines.engine.engine import Engine
from pipelines.experiments.engine.rivals import Diffusers
from pipelines.experiments.engine.timing import Measurement, Size, alternate, ratio
from pipelines.progress import Progress
from pipelines.records import Candidate, Item, Request

STRENGTHS = (0.25, 0.5, 0.75, 1.0)
PROMPTS = ("a photo of a red shoe", "a photo of a bag on grass", "a photo of a blue coat", "a photo of a shirt")
GUIDANCE = 3.0
RIVALS = ("loop", "batched", "limit")


def uniform(count: int, side: int, steps: int) -> list[Request]:
    """Text to image."""
    return [
        Request(
            n, 0, n, "shoe", "", PROMPTS[n % len(PROMPTS)],
            guidance=GUIDANCE, steps=steps, solver="ddim", size=(side, side),
        )
        for n in range(count)
    ]  # fmt: skip


def mixed(count: int, side: int, steps: int) -> list[Request]:
    """Image to image, of strengths in random order."""
    rng, item = np.random.default_rng(0), Item("a", "0" * 64, "shoe", None)
    return [
        Request(
            n, 0, n, "shoe", "", PROMPTS[n % len(PROMPTS)], item, rng.integers(0, 256, (side, side, 3), dtype=np.uint8),
            strength=float(strength), guidance=GUIDANCE, steps=steps, solver="ddim",
        )
        for n, strength in enumerate(rng.permutation(np.resize(STRENGTHS, count)))
    ]  # fmt: skip


WORK: Mapping[str, Callable[[int, int, int], list[Request]]] = {"mixed": mixed, "uniform": uniform}


class Arms:
    """One checkpoint, run by us and by others."""

    def __init__(self, size: Size) -> None:
        self.size, self.backbone = size, open_backbone(resolve(size.checkpoint, "model"))

    @cached_property
    def diffusers(self) -> Diffusers:
        return Diffusers(self.size.checkpoint, self.backbone.device, self.backbone.dtype)

    def engine(self, requests: Sequence[Request], capacity: int = 0) -> list[Candidate]:
        return list(Engine(self.backbone, capacity or self.size.capacity).run(requests))

    def loop(self, requests: Sequence[Request]) -> object:
        return self.diffusers.draw([[request] for request in requests])

    def batched(self, requests: Sequence[Request]) -> object:
        batches, capacity = [], self.size.capacity
        for _, group in groupby(sorted(requests, key=lambda request: request.strength), lambda request: request.strength):
            like = list(group)
            batches += [like[start : start + capacity] for start in range(0, len(like), capacity)]
        return self.diffusers.draw(batches)

    def rows(self, request: Request) -> int:
        """Rows of the denoiser that a request takes in all: two a step that is guided."""
        side = self.backbone.resolution // self.backbone.vae_scale_factor
        patches = self.backbone.patches(torch.empty(side, side))
        steps = self.backbone.schedule.plan(request.steps, request.strength, patches, request.solver)
        return sum(1 + (self.backbone.classifier_free and scale_of(request, step) > 1) for step in steps)

    @torch.inference_mode()
    def limit(self, requests: Sequence[Request]) -> None:
        backbone, rows = self.backbone, sum(map(self.rows, requests))
        batch = self.size.capacity * (2 if backbone.classifier_free else 1)
        side = backbone.resolution // backbone.vae_scale_factor
        x = backbone.everywhere(torch.randn(batch, backbone.latent_channels, side, side, device=backbone.device))
        t, embeds = torch.full((batch,), 500, device=backbone.device), backbone.encode_prompts([PROMPTS[0]] * batch)
        for start in range(0, rows, batch):
            part = slice(min(batch, rows - start))
            backbone.predict(x[part], t[part], embeds.rows(part))[0].sum().item()


def versus(rivals: Sequence[str], size: Size, progress: Progress) -> Measurement:
    """Seconds of each rival over those of the engine, on each kind of work: above 1 the engine is faster; of the limit, at
    most 1."""
    arms, ratios, rounds = Arms(size), dict[str, float](), dict[str, list[float]]()
    for work, requests_of in WORK.items():
        requests = requests_of(size.count, arms.backbone.resolution, size.steps)
        calls = {name: partial(getattr(arms, name), requests) for name in ("engine", *rivals)}
        for name in calls:
            getattr(arms, name)(requests[:2])  # the first forward is slower
        stage = progress.stage(f"engine, {', '.join(rivals)}: {work}", size.rounds * len(calls))
        seconds = alternate(calls, size.rounds, stage)
        ratios |= {f"engine_vs_{rival}.{work}": ratio(seconds[rival], seconds["engine"]) for rival in rivals}
        rounds |= {f"{arm}.{work}": values for arm, values in seconds.items()}
    return Measurement(ratios, rounds)


def throughput(size: Size, progress: Progress) -> Measurement:
    """Images a second of text to image, by the engine's capacity."""
    arms = Arms(size)
    requests = {capacity: uniform(max(capacity, 16), arms.backbone.resolution, size.steps) for capacity in size.capacities}
    arms.engine(requests[size.capacities[0]][:2])
    calls = {f"capacity {n}": partial(arms.engine, work, n) for n, work in requests.items()}
    measured = Measurement({}, alternate(calls, size.rounds, progress.stage("throughput", size.rounds * len(calls))))
    rates = {str(n): len(work) / measured.seconds[f"capacity {n}"] for n, work in requests.items()}
    return Measurement({}, measured.rounds, {"images_per_second": rates})
