"""The images of a source as models see and paint them, at one resolution.

Classifiers, segmenters and CLIP see an overview of each image: its middle, by the framing `crop`, else all of it. What is
painted is the overview, too, or by the framing `region` a frame of the image's own pixels around the region. Models learn
from frames at the resolution; a small region may be painted in a smaller one.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property

from pipelines.progress import SILENT, Stage, step
from pipelines.records import Candidate, Examples, Frame, FramedImage, Image, Item, Mask
from pipelines.source.frames import (
    around,
    centre,
    cut,
    enclosing,
    inside,
    mask_within,
    moved,
    put_back,
    put_back_mask,
    side_of,
    sides,
    within,
)
from pipelines.source.source import Source
from pipelines.spec import Classifier, Framing
from pipelines.vision.classifier import training_side
from pipelines.vision.models import Models
from pipelines.vision.pixels import PixelCache, Pixels
from pipelines.vision.recent_images import RecentImages

MANY = 100  # images that are read in a second or more


class FramedView:
    def __init__(
        self, source: Source, models: Models, framing: Framing, stage: Callable[[str, int], Stage], classifier: Classifier
    ) -> None:
        """`stage` begins a stage of the progress, of so many images: segmenting takes long. `classifier` is the one that is
        trained on examples of the source."""
        self.source, self.models, self.framing, self.stage = source, models, framing, stage
        self.recent = RecentImages(source.read)
        self.classifier, self.cache = classifier, PixelCache(models.machine)

    @property
    def resolution(self) -> int:
        return self.models.resolution

    @cached_property
    def side(self) -> int:
        """Pixels a side of the images that the classifier is trained and tested on."""
        return training_side(self.classifier, self.resolution)

    def begin(self, name: str, total: int, more_than: int) -> Stage:
        """A stage of the progress; of fewer images, which are soon done, nothing is displayed."""
        return self.stage(name, total) if total > more_than else SILENT.stage(name, total)

    def read(self, item: Item) -> Image:
        """The pixels of an image of the source."""
        step()
        return self.recent.read(item)

    def overview(self, image: Image) -> Frame:
        """What classifiers and segmenters see of an image of any size."""
        return (centre if self.framing == "crop" else enclosing)(*image.shape[:2])

    def fit(self, image: Image, side: int | None = None) -> Image:
        """The overview of an image: uint8 (side, side, 3), by default at the resolution."""
        return cut(image, self.overview(image), side or self.resolution)

    def images(self, items: Sequence[Item]) -> list[Image]:
        """The overview of each image."""
        return list(self.stream(items, self.resolution))

    def stream(self, items: Sequence[Item], side: int) -> Iterator[Image]:
        """The same one by one, of any side."""
        done = self.begin("read: images", len(items), more_than=MANY)
        for item in items:
            yield self.fit(self.read(item), side)
            done(1)

    def pixels(self, items: Sequence[Item], side: int) -> Pixels:
        """The same on disk."""
        facts = {"images": [item.sha256 for item in items], "framing": self.framing}
        return self.cache.get_or_make(facts, side, len(items), lambda: self.stream(items, side))

    def framed(self, items: Sequence[Item], regions: Sequence[Mask], smallest: float = 1.0) -> list[FramedImage]:
        """What is painted of each image, for the region in its overview."""
        return [self.frame(self.read(item), mask, smallest) for item, mask in zip(items, regions, strict=True)]

    def frame(self, image: Image, mask: Mask, smallest: float = 1.0) -> FramedImage:
        """What is painted of an image, for the region in its overview: by the framing `region` with a side of at least the
        share `smallest` of the resolution."""
        size, overview, side = (image.shape[0], image.shape[1]), self.overview(image), self.resolution
        frame = overview
        if self.framing == "region":
            side = side_of(mask, overview, *size, sides(side, smallest))
            frame = around(mask, overview, *size, side)
        return FramedImage(size, overview, frame, cut(image, frame, side), moved(mask, overview, frame, *size, side))

    def sample(self, item: Item, painted: Image, frame: Frame, mask: Mask) -> Image:
        """A painted frame as it is stored: in its image, which keeps its size; by `crop` and `pad` the frame alone."""
        if self.framing == "crop":
            return painted
        image = self.read(item)
        if self.framing == "pad":
            return within(painted, frame, *image.shape[:2])
        return put_back(image, painted, frame, mask)

    def finished(self, candidate: Candidate) -> Image:
        """A candidate as it is stored."""
        request = candidate.request
        if request.source is None or request.frame is None or request.mask is None:
            return candidate.image
        return self.sample(request.source, candidate.image, request.frame, request.mask)

    def object_region(self, candidate: Candidate, stored: Image) -> Mask | None:
        """The region of a candidate's object in the image that is `stored` of it; None where all of it was generated."""
        request = candidate.request
        region, frame, size = request.object_region, request.frame, (stored.shape[0], stored.shape[1])
        if region is None or frame is None or self.framing == "crop":
            return region
        return mask_within(region, frame, *size) if self.framing == "pad" else put_back_mask(region, frame, *size)

    def whole(self, candidate: Candidate) -> Candidate:
        """A candidate as classifiers see it: overviews of what is stored and of its source, and the region there."""
        request = candidate.request
        if request.source is None or request.frame is None or request.mask is None:
            return replace(candidate, image=self.fit(candidate.image))
        image = self.read(request.source)
        overview, size = self.overview(image), (image.shape[0], image.shape[1])
        if request.frame == overview and len(candidate.image) == self.resolution:
            return candidate
        mask = moved(request.mask, request.frame, overview, *size, self.resolution)
        original = replace(request, image=self.fit(image), mask=mask, graft=None, frame=overview)
        return replace(candidate, request=original, image=self.fit(self.finished(candidate)))

    def at_resolution(self, candidate: Candidate) -> Image:
        """A candidate as models learn from images: of a small frame, the frame at the resolution around its region."""
        request = candidate.request
        if request.frame is None or request.mask is None or len(candidate.image) == self.resolution:
            return candidate.image
        image = self.finished(candidate)
        overview, size = self.overview(image), (image.shape[0], image.shape[1])
        mask = moved(request.mask, request.frame, overview, *size, self.resolution)
        return self.frame(image, mask & inside(overview, *size, self.resolution)).image

    def labelled(self, items: Sequence[Item], side: int | None = None, *, groups: bool = True) -> Examples:
        """Images on disk with their labels and, for whoever is to know them, groups; by default at the classifier's side."""
        pixels = self.pixels(items, side or self.side)
        return Examples(pixels, [item.label for item in items], [item.group if groups else None for item in items])

    def examples(self, split: str, *, groups: bool = True) -> Examples:
        """All images of a split, for the classifier."""
        return self.labelled(self.source.splits[split], groups=groups)

    @cached_property
    def validation(self) -> Examples:
        """The images that thresholds are calibrated on, at the resolution."""
        return self.labelled(self.source.splits["validation"], self.resolution, groups=False)
