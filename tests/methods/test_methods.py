"""What the methods ask of the engine, without and with a segmenter."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from pipelines import spec as specs
from pipelines.chance import derive
from pipelines.errors import SourceError
from pipelines.learning.resources import Resources
from pipelines.methods import METHODS, open_method
from pipelines.methods.spurious_removal import SpuriousRemovalMethod, graft
from pipelines.records import Image, Item, Mask, PlannedImage, Request
from pipelines.version.plan import quotas
from tests.builders import open_resources

WHOLE = {"type": "spurious_removal", "superclass": "shoe", "region": "whole", "inversion": None, "majority": 6}
SOURCE = {"type": "spurious", "train": 40, "validation": 16, "test": 16}


def slots(resources: Resources) -> list[PlannedImage]:
    made: list[PlannedImage] = []
    for cell in quotas(resources.spec.method, resources.spec.amount, resources.source.counts):
        made += [PlannedImage(len(made) + rank, cell.label, cell.origin, rank) for rank in range(cell.count)]
    return made


def asked(resources: Resources, attempt: int = 0) -> list[Request]:
    method = open_method(resources)
    method.learn()
    return method.requests(slots(resources), attempt)


def test_the_table_has_every_method_of_the_spec() -> None:
    union = get_args(get_args(specs.MethodSpec)[0])
    assert {get_args(each.model_fields["type"].annotation)[0] for each in union} == set(METHODS)


@pytest.fixture
def repainting(tmp_path: Path) -> Resources:
    return open_resources(tmp_path, method=WHOLE, amount={"per_class": 16})


def test_a_slot_becomes_a_request_for_its_label_on_a_picture_of_its_origin(repainting: Resources) -> None:
    for slot, request in zip(slots(repainting), asked(repainting), strict=True):
        assert (request.index, request.label) == (slot.index, slot.label)
        assert request.source is not None
        assert request.source.label == slot.origin
        assert request.prompt == f"a photo of a {slot.label}"
        assert request.image is not None
        assert np.array_equal(request.image, repainting.view.images([request.source])[0])
        assert request.mask is not None
        assert request.mask.all()
        assert request.seed == derive(0, "image", slot.index, 0)


def test_the_settings_of_the_spec_reach_the_engine(tmp_path: Path) -> None:
    method = {**WHOLE, "strength": 0.5, "guidance": 3.5, "steps": 7}
    asked_for = {(r.strength, r.guidance, r.steps, r.concept) for r in asked(open_resources(tmp_path, method=method))}
    assert asked_for == {(0.5, 3.5, 7, None)}


def test_only_the_most_typical_images_are_repainted_each_as_often(repainting: Resources) -> None:
    used = Counter(r.source.id for r in asked(repainting) if r.source is not None)
    typical = {item.id for ranked in repainting.ranking.values() for item, _ in ranked[:6]}
    assert set(used) == typical
    for label in repainting.source.classes:
        counts = [n for name, n in used.items() if name.startswith(f"train/{label}/")]
        assert max(counts) - min(counts) <= 2


def test_no_request_is_asked_for_twice_and_none_depends_on_its_neighbours(repainting: Resources) -> None:
    method, every = open_method(repainting), slots(repainting)
    together = method.requests(every, 1)
    assert len({request.seed for request in together}) == len(every)
    for slot, request in zip(every[::5], together[::5], strict=True):
        (alone,) = method.requests([slot], 1)
        assert (alone.index, alone.seed, alone.source, alone.prompt) == (
            request.index, request.seed, request.source, request.prompt,
        )  # fmt: skip
        assert alone.image is not None
        assert request.image is not None
        assert np.array_equal(alone.image, request.image)


def test_another_attempt_has_other_noise_on_the_same_picture(repainting: Resources) -> None:
    for first, second in zip(asked(repainting, 0), asked(repainting, 1), strict=True):
        assert first.seed != second.seed
        assert (first.source, first.label, first.prompt) == (second.source, second.label, second.prompt)
        assert (first.attempt, second.attempt) == (0, 1)


def test_the_group_of_what_is_repainted_is_mostly_the_shortcut(repainting: Resources) -> None:
    """Boots on brick are what the dataset lacks: sneakers' typical pictures, repainted as boots, supply them."""
    made = Counter((r.label, r.source.group) for r in asked(repainting) if r.source is not None)
    assert made["boot", "brick"] >= 6
    assert made["sneaker", "grass"] >= 6


def test_text_to_image_asks_for_no_picture(tmp_path: Path) -> None:
    for slot, request in zip(slots(plain := open_resources(tmp_path)), asked(plain), strict=True):
        assert (request.source, request.image, request.mask, request.concept) == (None, None, None, None)
        assert (request.label, request.prompt) == (slot.label, f"a photo of a {slot.label}")
    assert "judge" not in vars(plain), "nothing is learned where nothing is needed"


def segmented(tmp_path: Path, tiny_checkpoint: Path, **changes: Any) -> Resources:
    models = {"text_to_image": str(tiny_checkpoint), "segmenter": "cross-attention"}
    return open_resources(tmp_path, models=models, method={**WHOLE, "region": "box", **changes})


def test_what_is_repainted_is_a_box_around_what_the_segmenter_found(tmp_path: Path, tiny_checkpoint: Path) -> None:
    resources = segmented(tmp_path, tiny_checkpoint, grow=0.0)
    for request in asked(resources):
        assert request.source is not None
        assert request.mask is not None
        (found,) = resources.view.object_masks([request.source], "shoe")
        assert found is not None
        rows, columns = np.flatnonzero(request.mask.any(axis=1)), np.flatnonzero(request.mask.any(axis=0))
        assert request.mask.sum() == len(rows) * len(columns)
        assert len(rows) == len(columns)
        assert not (found & ~request.mask).any()


def test_what_the_segmenter_finds_in_an_image_does_not_depend_on_the_others(tmp_path: Path, tiny_checkpoint: Path) -> None:
    resources = segmented(tmp_path, tiny_checkpoint)
    items = resources.source.splits["train"][:9]
    together = resources.view.object_masks(items, "shoe")
    for item, mask in zip(items, together, strict=True):
        (alone,) = resources.view.segment(resources.view.images([item]), "shoe")
        assert mask is not None
        assert alone is not None
        assert (alone != mask).mean() < 0.01  # but for rounding


def test_an_image_is_searched_once_for_a_word(
    tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resources = segmented(tmp_path, tiny_checkpoint)
    items = resources.source.splits["train"][:3]
    searched: list[tuple[int, str]] = []
    find = resources.view.segment

    def noted(images: Sequence[Image], word: str) -> list[Mask | None]:
        searched.append((len(images), word))
        return find(images, word)

    monkeypatch.setattr(resources.view, "segment", noted)
    first = resources.view.object_masks(items, "shoe")
    again = resources.view.object_masks(items[::-1], "shoe")[::-1]
    resources.view.object_masks(items[:1], "bag")
    assert searched == [(3, "shoe"), (1, "bag")]
    assert [None if m is None else m.tolist() for m in first] == [None if m is None else m.tolist() for m in again]


def test_images_without_the_object_are_skipped_and_counted(
    tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resources = segmented(tmp_path, tiny_checkpoint)
    typical = {label: [item for item, _ in ranked[:6]] for label, ranked in resources.ranking.items()}
    lost = {items[0].id for items in typical.values()}
    seen = resources.view.object_masks
    monkeypatch.setattr(
        resources.view,
        "object_masks",
        lambda items, word: [None if i.id in lost else m for i, m in zip(items, seen(items, word), strict=True)],
    )
    method = open_method(resources)
    assert isinstance(method, SpuriousRemovalMethod)
    method.learn()
    assert {problem.id for problem in method.skipped} == lost
    assert {problem.reason for problem in method.skipped} == {"no shoe found"}
    assert {label: len(items) for label, items in method.majority.items()} == {"boot": 5, "sneaker": 5}
    used = {r.source.id for r in method.requests(slots(resources), 0) if r.source is not None}
    assert not used & lost


def test_where_nothing_is_found_at_all_another_word_is_asked_for(
    tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resources = segmented(tmp_path, tiny_checkpoint)
    monkeypatch.setattr(resources.view, "object_masks", lambda items, word: [None] * len(items))
    with pytest.raises(
        SourceError,
        match=r"'cross-attention' looked at 6 images of class 'boot' and found no 'shoe'; choose another word, or region",
    ):
        open_method(resources).learn()


def test_real_objects_are_grafted_in_where_one_was(tmp_path: Path, tiny_checkpoint: Path) -> None:
    """A real boot, whole, in a sneaker's picture; what is painted is the gap, and none of the boot."""
    resources = segmented(tmp_path, tiny_checkpoint, objects="real", strength=0.5)
    for request in asked(resources):
        assert request.graft is not None
        assert request.source is not None
        assert request.mask is not None
        assert request.inpaint_mask is not None
        assert request.image is not None
        assert request.init_image is not None
        donor = request.graft.item
        assert (donor.label, request.strength) == (request.label, 1.0)
        assert donor != request.source
        mine, old = resources.view.object_masks([donor, request.source], "shoe")
        assert mine is not None
        assert old is not None
        assert request.graft.mask.sum() == mine.sum()
        assert sorted(map(tuple, request.init_image[request.graft.mask])) == sorted(
            map(tuple, resources.view.images([donor])[0][mine])
        )
        assert np.array_equal(request.init_image[~request.graft.mask], request.image[~request.graft.mask])
        assert not (request.inpaint_mask & request.graft.mask).any()
        assert not (old & ~request.mask).any()


@pytest.mark.parametrize(("donor_side", "frame"), [(4, 16), (7, 32)])
def test_a_graft_keeps_its_size_in_a_small_frame_or_has_a_large_one(
    tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, donor_side: int, frame: int
) -> None:
    """Sneakers have small objects, boots some of another size: a boot in a sneaker's picture has its own pixels. Photographs
    have two a cell of the overview."""
    models = {"text_to_image": str(tiny_checkpoint), "segmenter": "cross-attention"}
    method = {**WHOLE, "region": "mask", "grow": 0.0, "objects": "real", "repaint_own": False}
    resources = open_resources(tmp_path, models=models, method=method, smallest_frame=0.5)

    def mask(item: Item) -> Mask:
        side, blank = donor_side if item.label == "boot" else 5, np.zeros((32, 32), dtype=np.bool_)
        blank[4 : 4 + side, 6 : 6 + side] = True
        return blank

    monkeypatch.setattr(resources.view, "object_masks", lambda items, word: [mask(item) for item in items])
    boots = [request for request in asked(resources) if request.label == "boot"]
    for request in boots:
        assert request.graft is not None
        assert request.image is not None
        assert request.mask is not None
        assert request.source is not None
        assert request.image.shape == (frame, frame, 3)
        large = mask(request.graft.item).repeat(2, axis=0).repeat(2, axis=1)
        assert request.graft.mask.sum() == large.sum()
        donor = resources.view.read(request.graft.item)[large]
        assert np.array_equal(request.graft.image[request.graft.mask], donor)
        assert request.frame is not None
        whole, top, left = resources.view.read(request.source), request.frame.top, request.frame.left
        assert np.array_equal(request.image, whole[top : top + frame, left : left + frame])
    assert boots


def test_another_attempt_grafts_another_object(tmp_path: Path, tiny_checkpoint: Path) -> None:
    resources = segmented(tmp_path, tiny_checkpoint, objects="real")
    donors = [[r.graft.item.id for r in asked(resources, attempt) if r.graft] for attempt in (0, 0, 1)]
    assert donors[0] == donors[1] != donors[2]


def test_with_both_every_picture_gets_a_painted_and_a_real_object(tmp_path: Path, tiny_checkpoint: Path) -> None:
    resources = segmented(tmp_path, tiny_checkpoint, objects="both")
    found = asked(resources)
    painted, real = ([r for r in found if (r.graft is None) == plain] for plain in (True, False))
    assert abs(len(painted) - len(real)) <= 2
    pairs = Counter[Any]()
    for slot, request in zip(slots(resources), found, strict=True):
        pairs[slot.label, slot.origin, slot.rank // 2, request.graft is not None] += 1
    assert set(pairs.values()) == {1}, "of two with one source, one is painted and one real"
    for stride in (2, 4):  # of as many shards
        assert {request.graft is None for request in found[::stride]} == {True, False}
    by_source = [Counter((r.source.id, r.label) for r in each if r.source) for each in (painted, real)]
    assert len(by_source[0].keys() ^ by_source[1].keys()) <= 2, "those that are left over"


@pytest.mark.parametrize("old_at", [(0, 0), (20, 24), (8, 8)])
def test_a_graft_stands_in_the_middle_of_what_was_there_or_as_near_as_it_fits(old_at: tuple[int, int]) -> None:
    mask, old = np.zeros((32, 32), dtype=np.bool_), np.zeros((32, 32), dtype=np.bool_)
    mask[2:12, 3:9] = True
    old[old_at[0] : old_at[0] + 6, old_at[1] : old_at[1] + 8] = True
    image, ground = np.full((32, 32, 3), 200, np.uint8), np.zeros((32, 32, 3), np.uint8)
    result = graft(Item("a", "0", "boot", None), image, mask, ground, old)
    assert result.mask.sum() == 60
    rows, columns = np.flatnonzero(result.mask.any(axis=1)), np.flatnonzero(result.mask.any(axis=0))
    middle = [old_at[0] + 3, old_at[1] + 4]
    wanted = [min(max(0, middle[0] - 5), 22), min(max(0, middle[1] - 3), 26)]
    assert [rows[0], columns[0]] == wanted
    assert (result.image[result.mask] == 200).all()
    assert (result.image[~result.mask] == 0).all()


BAGS = {"type": "spurious", "classes": ["bag", "shirt"], "train": 40, "validation": 16, "test": 16}


def test_each_class_is_segmented_by_its_own_word(tmp_path: Path) -> None:
    """On the bundled segmenter: a bag's outline is that of the word bag, a shirt's that of the word shirt, in a source image
    and in one that was grafted in; and near the true outlines."""
    words = {"bag": "bag", "shirt": "shirt"}
    method = {**WHOLE, "region": "mask", "grow": 0.0, "objects": "both", "superclass": words}
    resources = open_resources(tmp_path, source=BAGS, models={"resolution": 64}, method=method)
    assert resources.source.truth is not None
    overlaps = []
    for request in asked(resources):
        assert request.source is not None
        assert request.mask is not None
        label = request.source.label
        (outline,) = resources.view.segment(resources.view.images([request.source]), words[label])
        assert outline is not None
        truth = resources.source.truth(request.source)
        overlaps.append((truth & outline).sum() / (truth | outline).sum())
        if request.graft is None:
            assert (request.mask != outline).mean() < 0.01  # but for rounding
        else:
            (donor,) = resources.view.segment(resources.view.images([request.graft.item]), words[request.label])
            assert donor is not None
            assert request.graft.mask.sum() == pytest.approx(donor.sum(), rel=0.05)
    assert np.mean(overlaps) > 0.7
    assert resources.view.masks.words == {"bag", "shirt"}


def test_a_class_whose_word_is_nowhere_found_is_named_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resources = open_resources(
        tmp_path, source=BAGS, method={**WHOLE, "region": "box", "superclass": {"bag": "bag", "shirt": "shirt"}}
    )

    def only_bags(images: Sequence[Image], word: str) -> list[Mask | None]:
        return [np.ones(image.shape[:2], np.bool_) if word == "bag" else None for image in images]

    monkeypatch.setattr(resources.view, "segment", only_bags)
    with pytest.raises(SourceError, match=r"'builtin' looked at 6 images of class 'shirt' and found no 'shirt'; choose"):
        open_method(resources).learn()
