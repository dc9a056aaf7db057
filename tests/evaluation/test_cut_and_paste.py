"""Cut and paste: as many as the version has, in the same images, and what stands there afterwards is of the new class."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.builtin.oracle import Oracle
from pipelines.errors import SourceError, SpecError
from pipelines.evaluation.additions import ADDITIONS
from pipelines.evaluation.cut_and_paste import backgrounds, grafted
from pipelines.evaluation.data import EvaluationData
from pipelines.methods import open_method
from pipelines.records import Item, Quota
from pipelines.regions import region
from pipelines.spec import Evaluation
from pipelines.version.plan import Plan
from tests.builders import open_resources, spec

PASTED: dict[str, Any] = {
    "source": {"type": "spurious", "classes": ["bag", "trousers"], "train": 40, "validation": 8, "test": 8},
    "models": {"resolution": 64},
    "method": {"type": "spurious_removal", "superclass": "garment", "inversion": None, "region": "mask"},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> EvaluationData:
    """Of a version with six bags for every five trousers, each in the image of a bag on grass or of trousers on brick."""
    resources = open_resources(tmp_path_factory.mktemp("store"), **PASTED)
    plan = Plan("", "", (Quota("bag", "trousers", 1),), 1)
    data = EvaluationData(resources, plan, open_method(resources), Evaluation())
    # The bundled segmenter knows garments by their own words; here it is the truth that says where they are.
    source = resources.source
    assert source.truth is not None
    for item in source.splits["train"]:
        resources.view.masks.rows[item.sha256, "garment"] = np.packbits(source.truth(item))
    sources = [source.of(label)[0] for label in ("bag", "trousers")]
    data.__dict__["kept"] = [
        {"index": n, "label": int(n % 11 > 5), "source_id": item.id, "origin": item.label, "group": item.group}
        for n, item in enumerate(sources * 11)
    ]
    return data


def test_there_are_as_many_of_every_kind_as_in_the_version(data: EvaluationData) -> None:
    added, names = ADDITIONS["cut_and_paste"](data), data.resources.source.classes
    assert Counter(zip(added.labels, added.groups, strict=True)) == Counter(
        (names[row["label"]], row["group"]) for row in data.kept
    )
    assert ADDITIONS["cut_and_paste"](data).images[3].tobytes() == added.images[3].tobytes()
    assert len({image.tobytes() for image in added.images}) > 15, "the same objects again and again"


def test_what_is_pasted_is_taken_for_its_class(data: EvaluationData) -> None:
    added = ADDITIONS["cut_and_paste"](data)
    predicted = Oracle().garments(list(added.images), ("bag", "trousers"))
    assert np.mean([a == b for a, b in zip(predicted, added.labels, strict=True)]) > 0.8


def test_away_from_both_objects_the_image_is_its_source(data: EvaluationData) -> None:
    view, source = data.resources.view, data.resources.source
    ground, donor = source.of("bag")[0], source.of("trousers")[1]
    image, original = grafted(view, ground, donor, "garment"), view.images([ground])[0]
    old, new = view.object_masks([ground, donor], "garment")
    assert old is not None
    assert new is not None
    changed = (image != original).any(axis=-1)
    outside = changed & ~region(old, "mask", 0.1)
    assert changed.sum() > 0.8 * old.sum()
    assert outside.sum() <= new.sum(), "no more than the new object changes outside the old one's place"


def test_backgrounds_are_the_source_image_or_else_of_its_kind() -> None:
    items = [Item(f"{label}-{group}", "", label, group) for label in ("boot", "bag") for group in ("grass", "brick")]
    assert [i.id for i in backgrounds(items, "bag-grass", "bag", "grass")] == ["bag-grass"]
    assert [i.id for i in backgrounds(items, "gone", "boot", "brick")] == ["boot-brick"]
    assert [i.id for i in backgrounds(items, None, "boot", None)] == ["boot-grass", "boot-brick"]
    assert [i.id for i in backgrounds(items, None, "boot", "snow")] == [i.id for i in items]


def test_a_class_without_an_object_is_named(data: EvaluationData, tmp_path: Path) -> None:
    resources = open_resources(tmp_path, **PASTED)
    for item in resources.source.splits["train"]:
        resources.view.masks.rows[item.sha256, "garment"] = np.packbits(np.zeros((64, 64), np.bool_))
    other = EvaluationData(resources, data.plan, data.method, data.spec)
    other.__dict__["kept"] = data.kept
    with pytest.raises(
        SourceError, match=r"cut_and_paste found no 'garment' in any image of class 'bag'; leave the arm out"
    ):
        ADDITIONS["cut_and_paste"](other)


@pytest.mark.parametrize(
    "method",
    [
        {"type": "text_to_image"},
        {"type": "text_to_image", "superclass": {}},
        {"type": "spurious_removal", "superclass": "shoe", "region": "whole"},
    ],
    ids=["no word", "no words", "nothing is segmented"],
)
def test_without_objects_the_spec_is_refused(method: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="cut_and_paste cuts out the object of every image"):
        spec(method=method, evaluation={"arms": ["erm", "cut_and_paste"]})
