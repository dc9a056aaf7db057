"""What small frames save: the same regions painted at the resolution, and in frames no larger than they need."""

from functools import partial

import numpy as np

from pipelines.experiments.engine.arms import GUIDANCE, PROMPTS, Arms
from pipelines.experiments.engine.timing import Measurement, Size, alternate, ratio
from pipelines.progress import Progress
from pipelines.records import Item, Mask, Request
from pipelines.source.frames import CONTEXT
from pipelines.source.source import Source
from pipelines.spec import Models as ModelsSpec
from pipelines.vision.models import Models
from pipelines.vision.source_view import SourceView

SMALLEST = 0.25  # the spec's `smallest_frame`
QUARTER = 0.5  # of a photograph's side: the side of a quarter of its area
REGIONS = {"quarter_mask": QUARTER / (1 + 2 * CONTEXT), "quarter_mask.without_context": QUARTER}  # side, as that share


def square(resolution: int, share: float) -> Mask:
    """A square in the middle of an overview, its side a share of the overview's."""
    length = int(share * resolution)
    start = (resolution - length) // 2
    mask = np.zeros((resolution, resolution), np.bool_)
    mask[start : start + length, start : start + length] = True
    return mask


def requests(count: int, resolution: int, share: float, smallest: float, steps: int) -> list[Request]:
    """Inpainting of a square region of photographs with as many pixels as the resolution."""
    rng = np.random.default_rng(0)
    photographs = {str(n): rng.integers(0, 256, (resolution, resolution, 3), dtype=np.uint8) for n in range(count)}
    items = [Item(name, "0" * 64, "shoe", None) for name in photographs]
    source = Source(("shoe",), {"train": items}, lambda item: photographs[item.id])
    view = SourceView(source, Models(ModelsSpec(resolution=resolution)), "region")
    parts = view.framed(items, [square(resolution, share)] * count, smallest)
    return [
        Request(
            n, 0, n, "shoe", "", PROMPTS[n % len(PROMPTS)], item, part.image, part.mask,
            frame=part.frame, guidance=GUIDANCE, steps=steps, solver="ddim",
        )
        for n, (item, part) in enumerate(zip(items, parts, strict=True))
    ]  # fmt: skip


def quarter_mask(size: Size, progress: Progress) -> Measurement:
    """Seconds at the resolution over those in small frames: of regions that have a quarter of the photograph with their
    context, and of regions that have it alone."""
    arms, ratios, rounds = Arms(size), dict[str, float](), dict[str, list[float]]()
    for name, share in REGIONS.items():
        frames = {"whole": 1.0, "small": SMALLEST}
        work = {f"{name}: {frame}": requests(size.count, arms.backbone.resolution, share, smallest, size.steps)
                for frame, smallest in frames.items()}  # fmt: skip
        calls = {arm: partial(arms.engine, each) for arm, each in work.items()}
        for each in work.values():
            arms.engine(each[:2])  # the first forward is slower
        seconds = alternate(calls, size.rounds, progress.stage(name, size.rounds * len(calls)))
        ratios[name] = ratio(seconds[f"{name}: whole"], seconds[f"{name}: small"])
        rounds |= seconds
    return Measurement(ratios, rounds)
