"""What is said beside the figures: too few images, and a generator that knows the renderer."""

import numpy as np
import pytest

from pipelines.evaluation.notes import FLATTERED, few_tests, notes, shortfall
from pipelines.records import Examples
from pipelines.spec.helpers import FROM_SCRATCH
from tests.builders import spec


def test_a_shortfall_is_counted_class_by_class() -> None:
    added = Examples([np.zeros((2, 2, 3), np.uint8)] * 5, ["boot"] * 4 + ["bag"], [None] * 5)
    assert shortfall(added, {"boot": 3, "bag": 3, "dress": 1}) == {"bag": 2, "dress": 1}


@pytest.mark.parametrize(
    ("arms", "changes", "expected"),
    [
        (("erm", "counterpoise"), {}, [FLATTERED]),
        (("erm", "text_to_image"), {}, [FLATTERED]),
        (("erm", "real_balanced"), {}, []),
        (("erm", "counterpoise"), {"models": {"text_to_image": "a/checkpoint"}}, []),
        (("erm", "counterpoise"), {"source": {"type": "folder", "path": "shoes"}}, []),
    ],
)
def test_figures_of_the_built_in_world_are_flattered(
    arms: tuple[str, ...], changes: dict[str, object], expected: list[str]
) -> None:
    assert notes(spec(**changes), {arm: [{}] for arm in arms}) == expected


def test_a_classifier_from_scratch_on_photographs_is_noted() -> None:
    photographs = spec(
        source={"type": "folder", "path": "birds"}, models={"text_to_image": "a/checkpoint"}, evaluation={"arms": ["erm"]}
    )
    assert notes(photographs, {"erm": [{}]}) == [FROM_SCRATCH]


def test_few_test_images_are_noted() -> None:
    (note,) = few_tests({"boot": 90, "boot on brick": 7, "sneaker": 8})
    assert note == "Of boot on brick there are 7 test images: one more or less is 14.3 points."
    assert few_tests({"boot": 1}) == ["Of boot there is 1 test image: one more or less is 100.0 points."]
    assert few_tests({"boot": 50}) == []
