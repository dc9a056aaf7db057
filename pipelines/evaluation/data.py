"""The data that the arms of an evaluation share: kept samples, test images, and real images with re-encoded twins."""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from itertools import groupby
from typing import Any

import torch

from pipelines.backbones.loading import taken_apart
from pipelines.learning.resources import Resources
from pipelines.methods import Method
from pipelines.progress import Stage, step
from pipelines.records import Examples, FramedImage, Image
from pipelines.regions import paste
from pipelines.source.decode import decode
from pipelines.spec import Evaluation
from pipelines.spec.arms import ARMS
from pipelines.tensors import images, tensor
from pipelines.version import rows
from pipelines.version.plan import Plan

Row = dict[str, Any]  # of a version's data files
BATCH = 16  # images re-encoded at a time
REENCODE = "re-encode: real images"  # the stage of the progress


def side(pair: tuple[int, FramedImage]) -> int:
    """Of the frame of a row: the pixels that it is painted in."""
    return len(pair[1].image)


class EvaluationData:
    """Each part is read or computed once, when an arm first needs it."""

    def __init__(self, resources: Resources, plan: Plan, method: Method, spec: Evaluation) -> None:
        self.resources, self.plan, self.method, self.spec = resources, plan, method, spec

    @cached_property
    def kept(self) -> list[Row]:
        """The samples of the version."""
        return rows.read_shards(self.resources.store, self.resources.root, self.plan)

    @cached_property
    def sizes(self) -> Counter[str]:
        """By class, how many samples the version holds."""
        return Counter(self.resources.source.classes[row["label"]] for row in self.kept)

    @cached_property
    def test(self) -> Examples:
        return self.resources.view.examples("test")

    @cached_property
    def real(self) -> Examples:
        """The real training images."""
        return self.resources.view.examples("train")

    def reencode(self, pixels: Sequence[Image], progress: Stage) -> list[Image]:
        """Images, once through the generator's autoencoder."""
        backbone = taken_apart(self.resources.painter)
        with torch.inference_mode():
            twins: list[Image] = []
            for start in range(0, len(pixels), BATCH):
                latents = backbone.encode_images(tensor(pixels[start : start + BATCH]))
                step()
                twins += images(backbone.decode_latents(latents))
                step()
                progress(len(latents))
            return twins

    @cached_property
    def reencoded(self) -> list[Image]:
        """The real training images, re-encoded."""
        return self.reencode(self.real.images, self.resources.stage(REENCODE, len(self.real)))

    @cached_property
    def reencoded_regions(self) -> list[Image]:
        """The real training images, re-encoded inside the region that the method would repaint alone."""
        view, items = self.resources.view, self.resources.source.splits["train"]
        twins = list(self.real.images)
        regions = [(row, mask) for row, mask in enumerate(self.method.regions(items)) if mask is not None]
        progress = self.resources.stage(REENCODE, len(regions))
        for start in range(0, len(regions), BATCH):
            batch = regions[start : start + BATCH]
            smallest = self.resources.spec.smallest_frame
            parts = view.framed([items[row] for row, _ in batch], [mask for _, mask in batch], smallest)
            pairs = sorted(zip([row for row, _ in batch], parts, strict=True), key=side)
            for _, alike in groupby(pairs, side):
                same = list(alike)
                twice = self.reencode([part.image for _, part in same], progress)
                for (row, part), twin in zip(same, twice, strict=True):
                    painted = paste(part.image, twin, part.mask)
                    twins[row] = view.fit(view.sample(items[row], painted, part.frame, part.mask))
        return twins

    def twins(self, arm: str) -> Sequence[Image] | None:
        """The real training images as the generator would have left them, for arms that train beside generated ones."""
        kind = ARMS[arm].reencode
        if not self.spec.reencode or kind is None:
            return None
        return self.reencoded if kind == "image" else self.reencoded_regions

    def examples(self, samples: Sequence[Row]) -> Examples:
        """Samples, labelled."""
        names = self.resources.source.classes
        pixels = []
        for row in samples:
            step()
            pixels.append(self.resources.view.fit(decode(row["image"], allow_synthetic=True)))
        return Examples(pixels, [names[row["label"]] for row in samples], [row["group"] for row in samples])
