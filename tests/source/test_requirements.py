"""What a spec needs of its source is found out before anything is learned, and without torch."""

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
