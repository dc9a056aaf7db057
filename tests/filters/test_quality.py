"""Blank, blurred and saturated images, measured inside the region that was repainted."""

from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, zoom

from pipelines.filters.quality import Quality
from pipelines.learning.resources import Resources
from pipelines.records import Image, Mask
from pipelines.regions import crop
from pipelines.spec import QualityFilter
from tests.builders import candidate, flat, noise, open_resources, square

FILTER = QualityFilter(type="quality")


@pytest.fixture(scope="module")
def resources(tmp_path_factory: pytest.TempPathFactory) -> Resources:
    return open_resources(tmp_path_factory.mktemp("store"))


def window(rows: slice, columns: slice) -> Mask:
    mask = np.zeros((32, 32), dtype=np.bool_)
    mask[rows, columns] = True
    return mask


def ramp(side: int = 32) -> Image:
    """Contrast without any edge."""
    return np.repeat(np.linspace(0, 255, side).astype(np.uint8)[None, :, None], side, axis=0).repeat(3, axis=2)


def checker(low: int, high: int) -> Image:
    return np.where((np.indices((32, 32)).sum(axis=0) % 2)[..., None], high, low).astype(np.uint8).repeat(3, axis=2)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (flat(), "blank"),
        (flat(0), "blank"),
        (ramp(), "blurred"),
        (np.clip(gaussian_filter(noise(0).astype(float), (6, 6, 0)) * 20 - 2400, 0, 255).astype(np.uint8), "blurred"),
        (checker(0, 255), "saturated"),
        (noise(0), None),
        (checker(100, 140), None),
    ],
    ids=["grey", "black", "ramp", "soft", "black and white", "noise", "checker"],
)
def test_what_is_wrong_is_said(resources: Resources, image: Image, reason: str | None) -> None:
    (verdict,) = Quality(resources, FILTER).judge([candidate(image)])
    assert verdict.reason == reason
    assert set(verdict.scores) == {"contrast", "sharpness", "saturated"}


def test_the_scores_are_what_they_are_called(resources: Resources) -> None:
    (verdict,) = Quality(resources, FILTER).judge([candidate(checker(51, 153))])
    assert verdict.scores["contrast"] == pytest.approx(0.2)  # half at 0.2, half at 0.6
    assert verdict.scores["saturated"] == 0
    half = flat(255)
    half[:16] = noise(0)[:16]
    (verdict,) = Quality(resources, FILTER).judge([candidate(half)])
    assert verdict.scores["saturated"] == pytest.approx(0.5, abs=0.01)


def test_only_the_region_counts(resources: Resources) -> None:
    image, mask = noise(0), window(slice(8, 24), slice(4, 20))
    image[mask] = 128
    judged = Quality(resources, FILTER).judge([candidate(image), candidate(image, mask=mask)])
    assert [verdict.reason for verdict in judged] == [None, "blank"]


def test_a_region_that_does_not_fit_its_surroundings_is_dropped(resources: Resources) -> None:
    """What is painted in the middle of a region may have any colour; its edge has to look as it did."""
    source, mask = noise(0), window(slice(8, 24), slice(4, 20))
    fitting, foreign = source.copy(), source.copy()
    fitting[12:20, 8:16] = 255 - noise(1)[12:20, 8:16] // 4
    foreign[mask] = source[mask] // 2
    judged = Quality(resources, FILTER).judge([candidate(x, image=source, mask=mask) for x in (fitting, foreign)])
    assert [verdict.reason for verdict in judged] == [None, "does not fit its surroundings"]
    assert judged[0].scores["seam"] == 0
    assert judged[1].scores["seam"] == pytest.approx(0.25, abs=0.03)


def test_at_the_edge_of_the_picture_nothing_has_to_fit(resources: Resources) -> None:
    source, everything = noise(0), np.ones((32, 32), np.bool_)
    (verdict,) = Quality(resources, FILTER).judge([candidate(noise(1), image=source, mask=everything)])
    assert verdict.scores["seam"] == 0


def test_a_threshold_of_the_spec_is_the_one_that_is_used(resources: Resources) -> None:
    image = checker(100, 140)  # contrast 0.078
    for limit, reason in ((0.07, None), (0.09, "blank")):
        (verdict,) = Quality(resources, QualityFilter(type="quality", min_contrast=limit)).judge([candidate(image)])
        assert verdict.reason == reason


def test_a_crop_is_the_box_around_the_region() -> None:
    image, mask = noise(0), np.zeros((32, 32), dtype=np.bool_)
    mask[3, 9] = mask[17, 30] = True
    assert np.array_equal(crop(image, mask), image[3:18, 9:31])
    assert crop(image, None) is image


def test_enlarging_a_picture_lowers_its_sharpness(resources: Resources) -> None:
    small = noise(0)[:8, :8]
    scores = [
        Quality(resources, FILTER).judge([candidate(zoom(small, (n, n, 1), order=1))])[0].scores["sharpness"]
        for n in (1, 2, 4)
    ]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("side", [512, 1024])
@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (noise(0, 64), None),
        (gaussian_filter(noise(0, 64), (9, 9, 0)), "blank"),
        (ramp(64), "blurred"),
        (np.where(noise(1, 64) > 127, np.uint8(255), np.uint8(0))[..., :1].repeat(3, axis=2), "saturated"),
    ],
)
def test_thresholds_mean_the_same_at_every_resolution(
    resources: Resources, side: int, image: Image, reason: str | None
) -> None:
    """An image and its region of 64 pixels, and both as large as models draw: the same reason, the same scores."""
    filter_ = Quality(resources, FILTER.model_copy(update={"max_saturated": 0.9, "min_contrast": 0.01}))
    factor, verdicts = side // 64, []
    for original in (image, flat(90, 64)):  # it fits, or has a seam
        sizes = [candidate(image, image=original, mask=square(64))]
        sizes.append(candidate(enlarged(image, factor), image=enlarged(original, factor), mask=enlarged(square(64), factor)))
        small, large = filter_.judge(sizes)
        assert small.scores == pytest.approx(large.scores, rel=0.02, abs=1e-4)
        assert small.reason == large.reason
        verdicts.append(small.reason)
    assert verdicts[0] == reason


def enlarged(pixels: Any, factor: int) -> Any:
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)
