"""Overviews, frames and samples of photographs by each framing. Costs a second."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, binary_erosion

from pipelines import spec as specs
from pipelines.errors import SourceError
from pipelines.progress import Stage
from pipelines.records import Candidate, Graft, Image, Item, Mask, Request
from pipelines.source.frames import inside
from pipelines.source.source import Source
from pipelines.vision.models import Models
from pipelines.vision.source_view import MANY, SourceView
from tests.builders import noise

RESOLUTION = 32
PHOTOS = {"wide": noise(1, 200)[:120], "tall": noise(2, 200)[:, :90], "small": noise(3, 24)}
ITEMS = [Item(name, f"{number:064}", "shoe", None) for number, name in enumerate(PHOTOS)]


def view(framing: specs.Framing) -> SourceView:
    splits = {"train": ITEMS, "validation": [], "test": []}
    source = Source(("bag", "shoe"), splits, lambda item: PHOTOS[item.id])
    return SourceView(source, Models(specs.Models(resolution=RESOLUTION)), framing)


def region() -> Mask:
    """In the middle of every overview, so inside every photograph."""
    mask = np.zeros((RESOLUTION, RESOLUTION), np.bool_)
    mask[12:20, 13:19] = True
    return mask


def painted(opened: SourceView, item: Item, colour: int = 255, smallest: float = 1.0, mask: Mask | None = None) -> Candidate:
    """A candidate whose region has one colour, in the frame that the model would be given."""
    (part,) = opened.framed([item], [region() if mask is None else mask], smallest)
    image = np.where(part.mask[..., None], np.uint8(colour), part.image)
    request = Request(0, 0, 0, "shoe", "", "", source=item, image=part.image, mask=part.mask, frame=part.frame)
    return Candidate(request, image)


@pytest.mark.parametrize("framing", ["crop", "pad", "region"])
@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.id)
def test_models_are_given_squares(framing: specs.Framing, item: Item) -> None:
    opened = view(framing)
    (part,) = opened.framed([item], [region()])
    shapes = {image.shape[:2] for image in (*opened.images([item]), part.image, part.mask)}
    assert shapes == {(RESOLUTION, RESOLUTION)}


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.id)
def test_by_region_a_sample_is_the_photograph_outside_the_region(item: Item) -> None:
    opened = view("region")
    sample, photo = opened.finished(painted(opened, item)), PHOTOS[item.id]
    assert sample.shape == photo.shape
    changed = (sample != photo).any(axis=2)
    scale = max(photo.shape) / RESOLUTION
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    top, left = ((length - max(photo.shape)) / 2 for length in photo.shape[:2])
    assert top + 12 * scale - 2 <= rows[0] <= rows[-1] <= top + 20 * scale + 2
    assert left + 13 * scale - 2 <= columns[0] <= columns[-1] <= left + 19 * scale + 2
    assert changed.sum() > 0.5 * (8 * scale) * (6 * scale)


def dot() -> Mask:
    """A small region in the middle of every overview."""
    mask = np.zeros((RESOLUTION, RESOLUTION), np.bool_)
    mask[15, 15] = True
    return mask


@pytest.mark.parametrize(("item", "side"), zip(ITEMS, (16, 16, 16), strict=True), ids=lambda value: getattr(value, "id", ""))
def test_a_small_region_is_painted_in_a_small_frame_alone(item: Item, side: int) -> None:
    opened, photo = view("region"), PHOTOS[item.id]
    candidate = painted(opened, item, smallest=0.5, mask=dot())
    frame, own = candidate.request.frame, candidate.request.image
    assert frame is not None
    assert own is not None
    assert candidate.image.shape == (side, side, 3)
    assert np.array_equal(own, photo[frame.top : frame.top + frame.side, frame.left : frame.left + frame.side])
    sample = opened.finished(candidate)
    assert candidate.request.mask is not None
    outside = np.ones(photo.shape[:2], np.bool_)
    outside[frame.top : frame.top + side, frame.left : frame.left + side] = ~candidate.request.mask
    assert np.array_equal(sample[outside], photo[outside])
    assert (sample[~outside] == 255).all()


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.id)
def test_classifiers_see_a_small_frame_as_one_at_the_resolution(item: Item) -> None:
    opened = view("region")
    small, large = (painted(opened, item, smallest=smallest, mask=dot()) for smallest in (0.25, 1.0))
    assert len(small.image) < len(large.image) == RESOLUTION
    whole = opened.whole(small)
    assert whole.image.shape == (RESOLUTION, RESOLUTION, 3)
    assert whole.request.mask is not None
    own = inside(opened.overview(PHOTOS[item.id]), *PHOTOS[item.id].shape[:2], RESOLUTION)  # beyond it, it is mirrored
    assert np.array_equal(whole.request.mask & own, dot())
    assert np.array_equal(opened.at_resolution(large), large.image)
    enlarged = opened.at_resolution(small)
    assert enlarged.shape == large.image.shape
    assert (enlarged != large.image).mean() < 0.1  # where the region's border is rounded otherwise


def test_by_pad_a_sample_has_the_photographs_proportions() -> None:
    opened = view("pad")
    shapes = {item.id: opened.finished(painted(opened, item)).shape[:2] for item in ITEMS}
    assert shapes == {"wide": (20, 32), "tall": (32, 14), "small": (32, 32)}


def test_by_crop_a_sample_is_what_was_painted() -> None:
    opened = view("crop")
    candidate = painted(opened, ITEMS[0])
    assert opened.finished(candidate) is candidate.image


@pytest.mark.parametrize("framing", ["crop", "pad", "region"])
@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.id)
def test_classifiers_see_a_sample_as_they_see_its_photograph(framing: specs.Framing, item: Item) -> None:
    """Outside the region a sample's overview is the photograph's; inside it is what was painted."""
    opened = view(framing)
    whole, photo = opened.whole(painted(opened, item)), opened.fit(PHOTOS[item.id])
    assert np.array_equal(whole.request.image, photo)  # type: ignore[arg-type]
    assert whole.request.mask is not None
    size = PHOTOS[item.id].shape[:2]
    own = inside(opened.overview(PHOTOS[item.id]), *size, RESOLUTION)  # beyond it, the region is mirrored
    assert ((whole.request.mask != region()) & own).sum() <= 14  # half of the cells at its edge
    difference = np.abs(whole.image.astype(int) - photo).max(axis=2)
    assert difference[own & ~binary_dilation(region(), iterations=3)].max() <= 8
    assert difference[14:18, 14:18].mean() > 60


def test_what_starts_from_noise_is_only_fitted() -> None:
    wide: Image = noise(4, 64)[:40]
    request = Request(0, 0, 0, "shoe", "", "", size=(40, 64))
    opened = view("crop")
    assert opened.finished(Candidate(request, wide)) is wide
    assert opened.whole(Candidate(request, wide)).image.shape == (RESOLUTION, RESOLUTION, 3)


class Everything:
    """Stands in for a segmenter that takes all of every image for the object."""

    def segment(self, images: list[Image], word: str) -> list[Mask | None]:
        return [np.ones((RESOLUTION, RESOLUTION), np.bool_) for _ in images]


def test_no_object_lies_beyond_the_border_of_its_photograph() -> None:
    opened = view("region")
    opened.models.__dict__["segmenter"] = Everything()
    masks: list[Any] = opened.object_masks(ITEMS, "shoe")
    assert [mask.sum() for mask in masks] == [20 * 32, 32 * 14, 32 * 32]


def test_many_images_are_read_and_segmented_with_progress_and_few_without() -> None:
    stages: list[tuple[str, int]] = []

    def stage(name: str, total: int) -> Stage:
        stages.append((name, total))
        return lambda done: ticks.append(done)

    class Blind:
        def segment(self, images: Sequence[Image], word: str) -> list[Mask | None]:
            return [None] * len(images)

    ticks: list[int] = []
    items = [Item(f"{number}", f"{number:064}", "shoe", None) for number in range(MANY + 1)]
    source = Source(("shoe",), {"train": items, "validation": items[:3]}, lambda item: PHOTOS["small"])
    models = Models(specs.Models(resolution=RESOLUTION))
    models.__dict__["segmenter"] = Blind()
    opened = SourceView(source, models, "crop", stage)
    opened.examples("validation")
    opened.object_masks(items[:3], "dress")
    assert stages == []
    opened.examples("train")
    with pytest.raises(SourceError, match=f"'builtin' looked at {MANY + 1} images of class 'shoe' and found no 'hat'"):
        opened.check_detected("shoe", "hat")
    opened.object_masks(items, "dress")
    assert stages == [("read: images", MANY + 1), ("segment: dress", MANY + 1 - 3)]
    assert sum(ticks) == sum(total for _, total in stages)


@pytest.mark.parametrize("framing", ["crop", "pad", "region"])
@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.id)
def test_the_region_of_the_object_is_where_the_stored_image_was_painted(framing: specs.Framing, item: Item) -> None:
    opened = view(framing)
    candidate = painted(opened, item)
    assert candidate.request.image is not None
    stored, before = opened.finished(candidate), opened.finished(replace(candidate, image=candidate.request.image))
    changed = (stored != (PHOTOS[item.id] if framing == "region" else before)).any(axis=2)
    mask = opened.object_region(candidate, stored)
    assert mask is not None
    assert mask.shape == stored.shape[:2]
    assert mask.any()
    assert not (changed & ~mask).any()
    inner = binary_erosion(mask, iterations=2) if framing == "region" else mask  # at whose edge the original fades in
    assert changed[inner].all()


@pytest.mark.parametrize("framing", ["crop", "pad", "region"])
def test_the_region_of_a_grafted_object_is_the_objects_outline(framing: specs.Framing) -> None:
    opened, item = view(framing), ITEMS[0]
    request = painted(opened, item).request
    assert request.mask is not None
    assert request.image is not None
    outline = binary_erosion(request.mask)
    grafted = replace(request, graft=Graft(item, request.image, outline))
    stored = np.where(request.mask[..., None], np.uint8(9), request.image)
    (of_graft, of_outline) = (
        opened.object_region(Candidate(one, stored), opened.finished(Candidate(one, stored)))
        for one in (grafted, replace(request, mask=outline))
    )
    assert np.array_equal(of_graft, of_outline)


def test_what_was_generated_as_a_whole_has_no_region() -> None:
    opened, image = view("region"), noise(4)
    request = Request(0, 0, 0, "shoe", "", "")
    assert opened.object_region(Candidate(request, image), image) is None
