"""The data that the arms of an evaluation share: kept samples, test images, and real images with re-encoded twins."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import groupby, islice
from typing import Any

import torch

from pipelines.backbones.loading import taken_apart
from pipelines.evaluation.samples import Row, Samples
from pipelines.learning.resources import Resources
from pipelines.learning.subpopulations import Subpopulations, undivided
from pipelines.methods import Method
from pipelines.progress import step
from pipelines.records import Examples, FramedImage, Image, Item, Mask
from pipelines.regions import paste
from pipelines.source.decode import decode
from pipelines.spec import Evaluation
from pipelines.spec.arms import ARMS, Addition
from pipelines.tensors import images, tensor
from pipelines.version.plan import Plan
from pipelines.vision.image_features import PART
from pipelines.vision.pixels import Pixels

BATCH = 16  # images re-encoded at a time
REENCODE = "re-encode: real images"  # the stage of the progress


def side(pair: tuple[int, FramedImage]) -> int:
    """Of the frame of a row: the pixels that it is painted in."""
    return len(pair[1].image)


class EvaluationData:
    """Each part is read or computed when an arm first needs it, and lies on this machine's disk from then on."""

    def __init__(self, resources: Resources, plan: Plan, method: Method, spec: Evaluation) -> None:
        self.resources, self.plan, self.method, self.spec = resources, plan, method, spec
        self.fence: int | None = None  # of what is written for an arm; None: by no lease, in one process

    @cached_property
    def samples(self) -> Samples:
        """Those of the version."""
        return Samples(self.resources.store, self.resources.root, self.plan)

    @cached_property
    def kept(self) -> list[Row]:
        """The rows of the version."""
        return self.samples.rows

    @property
    def kinds(self) -> list[str]:
        """Of each sample, all that the plan varies beside its class: the class of its source image, and its token."""
        return [f"{row['origin']} {row['concept']}" for row in self.kept]

    def origins(self, addition: Addition | None, count: int) -> list[str | None]:
        """The class of the image that each of an arm's images was painted into; None of an arm that paints into none."""
        painted = addition in ("version", "cut_and_paste")  # one image for each sample
        return [row["origin"] for row in self.kept] if painted else [None] * count

    def siblings(self, addition: Addition | None, count: int) -> list[str | None]:
        """The group that each of an arm's images belongs to; None of images that belong to none."""
        return [row.get("group_id") for row in self.kept] if addition == "version" else [None] * count

    @cached_property
    def sizes(self) -> Counter[str]:
        """By class, how many samples the version holds."""
        return Counter(self.resources.source.classes[row["label"]] for row in self.kept)

    @cached_property
    def test(self) -> Examples:
        return self.resources.view.examples("test")

    @cached_property
    def validation(self) -> Examples | None:
        """The real images that checkpoints are chosen on; None where there are none."""
        groups = self.spec.checkpoint == "best" or self.reads("validation")
        return (
            self.resources.view.examples("validation", groups=groups) if self.resources.source.splits["validation"] else None
        )

    def validation_for(self, arm: str) -> Examples | None:
        """The same for an arm: in subpopulations where the spec has checkpoints chosen by those. An arm that reads the
        groups keeps them."""
        if self.validation is None or self.spec.checkpoint != "subpopulations" or ARMS[arm].groups == "validation":
            return self.validation
        return replace(self.validation, groups=self.taken_for)

    @cached_property
    def taken_for(self) -> list[str]:
        """The subpopulation of each validation image."""
        assert self.validation is not None
        return self.subpopulations.of(self.validation)

    @cached_property
    def real(self) -> Examples:
        """The real training images."""
        return self.resources.view.examples("train", groups=self.reads("train"))

    def reads(self, split: str) -> bool:
        """Whether an arm reads the groups of a split: no other is given them."""
        return any(ARMS[arm].groups == split for arm in self.spec.arms)

    def twin_facts(self, **more: Any) -> dict[str, Any]:
        """What determines the re-encoded images of the training split."""
        resources = self.resources
        items = [item.sha256 for item in resources.source.splits["train"]]
        facts = {"images": items, "framing": resources.view.framing, "resolution": resources.view.resolution}
        return {"kind": "twins", **facts, "autoencoder": resources.painter_revision, **more}

    def stored(self, facts: dict[str, Any], count: int, images: Iterator[Image]) -> Pixels:
        """Images of the classifier's side on disk: `images`, unless they are there."""
        view = self.resources.view
        return view.cache.get_or_make(facts, view.side, count, lambda: images)

    def reencode(self, pixels: Sequence[Image]) -> list[Image]:
        """Images, once through the generator's autoencoder."""
        backbone = taken_apart(self.resources.painter)
        twins: list[Image] = []
        with torch.inference_mode():
            for start in range(0, len(pixels), BATCH):
                latents = backbone.encode_images(tensor(pixels[start : start + BATCH]))
                step()
                twins += images(backbone.decode_latents(latents))
                step()
        return twins

    @cached_property
    def reencoded(self) -> Pixels:
        """The real training images, re-encoded."""
        return self.stored(self.twin_facts(), len(self.real), self.whole_twins())

    def whole_twins(self) -> Iterator[Image]:
        view, items = self.resources.view, self.resources.source.splits["train"]
        progress, stream = self.resources.stage(REENCODE, len(items)), view.stream(items, view.resolution)
        while batch := list(islice(stream, BATCH)):
            yield from (view.fit(twin, view.side) for twin in self.reencode(batch))
            progress(len(batch))

    @cached_property
    def reencoded_regions(self) -> Pixels:
        """The real training images, re-encoded inside the region that the method would repaint alone."""
        spec = self.resources.spec
        parts = {"models": spec.models, "method": spec.method}
        facts = {name: part.model_dump(mode="json") for name, part in parts.items()}
        facts = self.twin_facts(**facts, smallest_frame=spec.smallest_frame)
        items = self.resources.source.splits["train"]
        for start in range(0, len(items), PART):  # masks are stored, whether or not this machine has the twins
            self.method.regions(items[start : start + PART])
        return self.stored(facts, len(self.real), self.region_twins())

    def region_twins(self) -> Iterator[Image]:
        """A batch of regions at a time, in the order of the images."""
        items, pairs = self.resources.source.splits["train"], list[tuple[Item, Mask | None]]()
        progress = self.resources.stage(REENCODE, len(items))
        for start in range(0, len(items), BATCH):
            part = items[start : start + BATCH]
            for pair in zip(part, self.method.regions(part), strict=True):
                pairs.append(pair)
                if sum(mask is not None for _, mask in pairs) == BATCH:
                    yield from self.repainted(pairs)
                    pairs = []
            progress(len(part))
        yield from self.repainted(pairs)

    def repainted(self, pairs: Sequence[tuple[Item, Mask | None]]) -> Iterator[Image]:
        """Images, each re-encoded inside its region, if it has one."""
        view, smallest = self.resources.view, self.resources.spec.smallest_frame
        regions = [(row, item, mask) for row, (item, mask) in enumerate(pairs) if mask is not None]
        parts = view.framed([item for _, item, _ in regions], [mask for *_, mask in regions], smallest)
        twins: dict[int, Image] = {}
        for _, alike in groupby(sorted(zip([row for row, *_ in regions], parts, strict=True), key=side), side):
            same = list(alike)
            for (row, part), twin in zip(same, self.reencode([part.image for _, part in same]), strict=True):
                painted = paste(part.image, twin, part.mask)
                twins[row] = view.fit(view.sample(pairs[row][0], painted, part.frame, part.mask), view.side)
        for row, (item, _) in enumerate(pairs):
            yield twins.pop(row) if row in twins else view.fit(view.read(item), view.side)

    def twins(self, arm: str) -> Sequence[Image] | None:
        """The real training images as the generator would have left them, for arms that train beside generated ones."""
        kind = ARMS[arm].reencode
        if not self.spec.reencode or kind is None:
            return None
        return self.reencoded if kind == "image" else self.reencoded_regions

    def weights(self, arm: str) -> list[float] | None:
        """How often each real training image is drawn; None: all as often."""
        return self.subpopulations.weights() if self.is_reweighted(arm) else None

    def is_reweighted(self, arm: str) -> bool:
        """Whether an arm draws real images as often of each subpopulation."""
        with_recipe = self.spec.recipe == "subpopulations" and ARMS[arm].addition is not None
        return ARMS[arm].reweighted or with_recipe

    @property
    def undivided(self) -> bool:
        """Whether there are no subpopulations, and the method or a recipe is to draw them."""
        used = any(map(self.is_reweighted, self.spec.arms))
        return (used or self.resources.spec.method.type == "subpopulation") and undivided(self.subpopulations.contexts)

    @cached_property
    def subpopulations(self) -> Subpopulations:
        """By which real images are drawn, and checkpoints chosen."""
        return Subpopulations(self.resources)

    def examples(self, samples: Samples) -> Examples:
        """Samples, labelled."""
        names, facts = self.resources.source.classes, {"samples": samples.digests, "framing": self.resources.view.framing}
        pixels = self.stored(facts, len(samples.rows), self.decoded(samples))
        labels, groups = [names[row["label"]] for row in samples.rows], [row["group"] for row in samples.rows]
        return Examples(pixels, labels, groups, [row["strength"] for row in samples.rows])

    def decoded(self, samples: Samples) -> Iterator[Image]:
        view = self.resources.view
        for data in samples.images():
            step()
            yield view.fit(decode(data, allow_synthetic=True), view.side)
