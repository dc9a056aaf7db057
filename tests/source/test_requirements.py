"""What a spec needs of its source is found out before anything is learned, and without torch."""

from dataclasses import replace
from typing import Any

import pytest

from pipelines.errors import SourceError, SpecError
from pipelines.source.open import open_source
from pipelines.source.requirements import check
from tests.builders import spec


@pytest.mark.parametrize(
    ("changes", "split", "said"),
    [
        (
            {"filters": [{"type": "quality", "calibrate": 0.9}]},
            "validation",
            r"^filters.quality.calibrate: the source",
        ),
        ({"evaluation": {}}, "test", r"^source: no test images to evaluate with"),
        ({"evaluation": {"arms": ["erm", "retrieved"]}}, "pool", r"^evaluation.arms: retrieved needs unused real"),
        (
            {"evaluation": {"arms": ["real_balanced"]}},
            "reserve",
            r"^evaluation.arms: real_balanced needs unused real",
        ),
    ],
)
def test_what_is_missing_is_named(changes: dict[str, Any], split: str, said: str) -> None:
    asked = spec(**changes)
    source = open_source(asked.source)
    check(asked, source)
    source.splits[split].clear()
    with pytest.raises(SourceError, match=said):
        check(asked, source)


def test_a_superclass_is_one_of_a_class_of_the_source() -> None:
    asked = spec(method={"type": "text_to_image", "superclass": {"boot": "shoe", "clog": "shoe"}, "inversion": {}})
    with pytest.raises(
        SpecError, match=r"^method.superclass: 'clog' is no class of the source, whose classes are boot, sneaker"
    ):
        check(asked, open_source(asked.source))


BAGS = {"type": "spurious", "classes": ["bag", "shirt"], "train": 40, "validation": 16, "test": 16}
REPAINT = {"type": "spurious_removal", "superclass": {"bag": "bag"}, "inversion": None}


@pytest.mark.parametrize(
    ("changes", "user"),
    [
        ({"method": REPAINT}, "method"),
        ({"method": {**REPAINT, "superclass": {"bag": "bag", "shirt": ""}}}, "method"),
        ({"method": {**REPAINT, "type": "image_variation", "repaint": "object"}}, "method"),
        (
            {
                "method": {"type": "text_to_image", "superclass": {"bag": "bag"}},
                "filters": [{"type": "label_agreement", "view": "object"}],
            },
            r"filters\.label_agreement",
        ),
        (
            {
                "method": {"type": "text_to_image", "superclass": {"bag": "bag"}},
                "evaluation": {"arms": ["erm", "cut_and_paste"]},
            },
            r"evaluation\.arms\.cut_and_paste",
        ),
    ],
)
def test_every_class_whose_objects_are_looked_for_has_a_word(changes: dict[str, Any], user: str) -> None:
    asked = spec(source=BAGS, **changes)
    with pytest.raises(
        SpecError, match=rf"^method\.superclass: .* has no word for class 'shirt', and {user} needs .* add shirt: WORD"
    ):
        check(asked, open_source(asked.source))
    every = {**asked.method.model_dump(), "superclass": {"bag": "bag", "shirt": "shirt"}}
    check(spec(source=BAGS, **{**changes, "method": every}), open_source(asked.source))


def test_tokens_can_be_learned_of_some_classes_alone() -> None:
    asked = spec(source=BAGS, method={"type": "text_to_image", "superclass": {"bag": "bag"}, "inversion": {}})
    check(asked, open_source(asked.source))


def test_a_name_is_one_of_a_class_of_the_source() -> None:
    given = spec(method={"type": "text_to_image", "names": {"boot": "rubber boot", "clog": "wooden shoe"}})
    with pytest.raises(SpecError, match=r"^method.names: 'clog' is no class of the source"):
        check(given, open_source(given.source))


@pytest.mark.parametrize(("arm", "split"), [("group_dro", "train"), ("dfr", "validation")])
def test_an_arm_that_reads_groups_needs_one_of_every_image(arm: str, split: str) -> None:
    asked = spec(evaluation={"arms": ["erm", arm]})
    source = open_source(asked.source)
    check(asked, source)
    source.splits[split][0] = replace(source.splits[split][0], group=None)
    missing = f"1 of {len(source.splits[split])} have none"
    with pytest.raises(SourceError, match=rf"^evaluation.arms: {arm} reads the group of every {split} image, and {missing}"):
        check(asked, source)
    check(spec(evaluation={"arms": ["erm", "jtt"]}), source)


def test_a_group_of_one_validation_image_cannot_be_halved() -> None:
    asked = spec(evaluation={"arms": ["dfr"]})
    source = open_source(asked.source)
    source.splits["validation"][0] = replace(source.splits["validation"][0], group="snow")
    with pytest.raises(SourceError, match=r"dfr needs two validation images of each group.* one of boot on snow"):
        check(asked, source)
