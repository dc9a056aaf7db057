"""The picture of a version's samples. Costs nothing."""

import io
from dataclasses import replace

import numpy as np
import PIL.Image

from pipelines.records import Image
from pipelines.report.page import DisplayedSample
from pipelines.report.sample_sheet import DROPPED, GAP, KEPT, SIDE, sample_sheet
from tests.builders import flat, square

PLAIN = DisplayedSample(None, None, flat(), "boot", None, True, None, {}, "a photo of a boot", "0.0")
REPAINTED = replace(PLAIN, source=flat(60), mask=square())


def opened(data: bytes | None) -> Image:
    assert data is not None
    return np.asarray(PIL.Image.open(io.BytesIO(data)).convert("RGB"))


def frames(sheet: Image) -> list[tuple[int, ...]]:
    """The colours of the upper edge of each image, from left to right, of the first row."""
    return [tuple(sheet[1, column + SIDE // 2].tolist()) for column in range(0, sheet.shape[1], SIDE + GAP)]


def near(colour: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return max(abs(a - b) for a, b in zip(colour, other, strict=True)) < 8


def test_without_source_images_the_samples_stand_alone_the_kept_first() -> None:
    sheet = opened(sample_sheet([replace(PLAIN, kept=False, reason="quality: blurred"), PLAIN, PLAIN]))
    assert sheet.shape == (SIDE + GAP, 12 * (SIDE + GAP), 3)
    first, second, third, blank = frames(sheet)[:4]
    assert near(first, KEPT)
    assert near(second, KEPT)
    assert near(third, DROPPED)
    assert near(blank, (255, 255, 255))


def test_what_was_painted_on_a_source_stands_beside_it() -> None:
    sheet = opened(sample_sheet([REPAINTED, PLAIN]))
    assert sheet.shape == (SIDE + GAP, 4 * (3 * SIDE + GAP), 3)
    assert near(tuple(sheet[1, SIDE // 2].tolist()), (60, 60, 60))
    assert near(tuple(sheet[1, 2 * SIDE + SIDE // 2].tolist()), KEPT)


def test_of_no_samples_there_is_no_picture() -> None:
    assert sample_sheet([]) is None
