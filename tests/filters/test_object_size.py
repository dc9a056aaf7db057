"""Object size: by the masks that a version stores. Three seconds."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.filters import Panel
from pipelines.filters.object_size import ObjectSize
from pipelines.records import Candidate, Frame, Mask
from pipelines.spec import ObjectSizeFilter
from pipelines.vision.object_masks import object_mask
from tests.builders import candidate, noise, open_resources, square

REMOVAL = {"type": "spurious_removal", "superclass": "shoe"}
SIDE = 32


def box(top: int, left: int, side: int) -> Mask:
    mask = np.zeros((SIDE, SIDE), np.bool_)
    mask[top : top + side, left : left + side] = True
    return mask


def painted(mask: Mask | None, folder: Path, framing: str = "crop", **settings: object) -> tuple[ObjectSize, Candidate]:
    method = settings.pop("method", REMOVAL)
    resources = open_resources(folder, method=method, framing=framing, models={"resolution": SIDE})
    filter_ = ObjectSize(resources, ObjectSizeFilter.model_validate({"type": "object_size", **settings}))
    if mask is None:
        return filter_, candidate(noise(1))
    source = resources.source.splits["train"][0]
    frame = Frame(0, 0, SIDE) if framing == "crop" else Frame(16, 24, SIDE)  # the images have 64 pixels a side
    return filter_, candidate(noise(1), source=source, image=noise(2), mask=mask, frame=frame)


@pytest.mark.parametrize(
    ("mask", "reason"),
    [(square(), None), (box(9, 9, 2), None), (box(9, 9, 1), "too small"), (box(0, 8, 9), "cut by the border"), (None, None)],
)
def test_small_objects_and_those_that_the_border_cuts_are_dropped(
    mask: Mask | None, reason: str | None, tmp_path: Path
) -> None:
    filter_, one = painted(mask, tmp_path)
    (verdict,) = filter_.judge([one])
    assert verdict.reason == reason
    assert verdict.scores == ({} if mask is None else {"share": mask.sum() / SIDE**2})


def test_a_cut_object_is_kept_where_the_spec_says_so_and_a_share_is_of_the_whole_image(tmp_path: Path) -> None:
    filter_, one = painted(box(0, 8, 9), tmp_path, whole=False)
    assert filter_.judge([one])[0].kept
    filter_, one = painted(square(), tmp_path, min_share=0.26)
    assert filter_.judge([one])[0].reason == "too small"


def test_it_judges_the_mask_that_is_stored(tmp_path: Path) -> None:
    """Of a frame inside a larger image, whose border is not that of the image; and what repainted surroundings leave."""
    filter_, one = painted(box(0, 0, 8), tmp_path, "region")
    (verdict,) = filter_.judge([one])
    assert (verdict.reason, verdict.scores["share"]) == (None, 64 / 64**2)
    surroundings = {"type": "image_variation", "repaint": "surroundings", "superclass": "shoe"}
    filter_, one = painted(~square(), tmp_path, method=surroundings)
    mask = object_mask(~square(), filter_.resources.spec.method)
    assert mask is not None
    assert filter_.judge([one])[0].scores == {"share": float(mask.mean())}
    assert filter_.judge([one])[0].kept


def test_it_is_one_of_the_filters_of_a_spec(tmp_path: Path) -> None:
    panel = Panel(open_resources(tmp_path, method=REMOVAL, filters=[{"type": "object_size"}], models={"resolution": SIDE}))
    _, one = painted(box(0, 8, 9), tmp_path)
    assert panel.judge([one])[0].verdict.reason == "object_size: cut by the border"
