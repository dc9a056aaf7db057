"""Bundled helper models look at nothing but the built-in world."""

from typing import Any

import pytest

from pipelines.errors import SpecError
from pipelines.spec import parse
from pipelines.spec.helpers import BY_SUBPOPULATIONS, FROM_SCRATCH, check_helpers, warnings
from tests.builders import spec

INVERSION = {"inversion": {}, "superclass": "bird"}


def checked(method: dict[str, Any], models: dict[str, Any], **changes: Any) -> None:
    check_helpers(spec(method=method, models={"text_to_image": "/models/sd", **models}, **changes))


@pytest.mark.parametrize(
    ("method", "changes", "users"),
    [
        ({"type": "spurious_removal", "superclass": "bird", "inversion": None}, {}, "method"),
        ({"type": "spurious_removal", "superclass": "bird"}, {}, "method, method.inversion.masked"),
        ({"type": "text_to_image", **INVERSION}, {}, "method.inversion.masked"),
        (
            {"type": "text_to_image", "superclass": "bird"},
            {"filters": [{"type": "label_agreement", "view": "object"}]},
            "filters.label_agreement",
        ),
        (
            {"type": "text_to_image", "superclass": "bird"},
            {"evaluation": {"arms": ["erm", "cut_and_paste"]}},
            "evaluation.arms.cut_and_paste",
        ),
    ],
)
def test_the_bundled_segmenter_is_refused_beside_another_checkpoint(
    method: dict[str, Any], changes: dict[str, Any], users: str
) -> None:
    message = rf"models\.segmenter: 'builtin' knows .* '/models/sd' .*, for {users}; give 'cross-attention'"
    with pytest.raises(SpecError, match=message):
        checked(method, {}, **changes)
    checked(method, {"segmenter": "cross-attention"}, **changes)


@pytest.mark.parametrize(
    ("changes", "users"),
    [
        ({"filters": [{"type": "clip_score"}]}, "filters.clip_score"),
        ({"filters": [{"type": "near_duplicate", "similarity": 0.9}]}, "filters.near_duplicate"),
        ({"evaluation": {"arms": ["erm", "retrieved"]}}, "evaluation.arms.retrieved"),
    ],
)
def test_the_bundled_clip_is_refused_beside_another_checkpoint(changes: dict[str, Any], users: str) -> None:
    with pytest.raises(SpecError, match=rf"models\.clip: 'builtin' .*, for {users}; give a CLIP checkpoint"):
        checked({"type": "text_to_image"}, {}, **changes)
    checked({"type": "text_to_image"}, {"clip": "/models/clip"}, **changes)


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ({"type": "text_to_image"}, {"filters": [{"type": "near_duplicate"}, {"type": "quality"}]}),
        ({"type": "text_to_image", "inversion": {"masked": False}, "superclass": "bird"}, {}),
        ({"type": "spurious_removal", "superclass": "bird", "region": "whole", "objects": "painted", "inversion": None}, {}),
        ({"type": "image_variation"}, {}),
    ],
)
def test_helpers_that_nothing_uses_are_not_asked_for(method: dict[str, Any], changes: dict[str, Any]) -> None:
    checked(method, {}, **changes)


def test_the_bundled_checkpoint_goes_with_the_bundled_helpers() -> None:
    check_helpers(spec(method={"type": "spurious_removal", "superclass": "shoe"}, filters=[{"type": "clip_score"}]))


PHOTOGRAPHS: dict[str, Any] = {
    "source": {"type": "folder", "path": "birds"},
    "models": {"text_to_image": "/models/sd", "segmenter": "cross-attention"},
    "method": {"type": "text_to_image"},
}


@pytest.mark.parametrize(
    "user",
    [
        {"filters": [{"type": "label_agreement"}]},
        {"filters": [{"type": "quality"}, {"type": "attribution"}]},
        {"method": {"type": "spurious_removal", "superclass": "bird"}},
        {"evaluation": {"arms": ["erm"]}},
        {"evaluation": {}, "filters": [{"type": "label_agreement"}]},
    ],
)
def test_a_classifier_from_scratch_on_photographs_is_warned_of_once(user: dict[str, Any]) -> None:
    assert warnings(spec(**{**PHOTOGRAPHS, **user})) == [FROM_SCRATCH]
    quiet: list[dict[str, Any]] = [
        {"classifier": {"checkpoint": "microsoft/resnet-50"}},
        {"models": {}},
        {"source": {"type": "few-shot"}},
    ]
    for changes in quiet:
        assert warnings(spec(**{**PHOTOGRAPHS, **user, **changes})) == []


def test_a_classifier_that_nothing_uses_is_not_warned_of() -> None:
    assert warnings(spec(**PHOTOGRAPHS, filters=[{"type": "quality"}, {"type": "near_duplicate"}])) == []


def test_checkpoints_by_subpopulations_are_warned_of_where_no_recipe_learns_these() -> None:
    by = {"checkpoint": "subpopulations"}
    assert warnings(spec(evaluation=by)) == [BY_SUBPOPULATIONS]
    for changes in ({"recipe": "subpopulations"}, {"checkpoint": "average"}):
        assert warnings(spec(evaluation={**by, **changes})) == []


def test_the_bundled_helpers_fit_the_bundled_models() -> None:
    method = {"type": "spurious_removal", "superclass": "shoe"}
    for name in ("builtin", "builtin-inpainting"):
        checked(method, {"text_to_image": name}, filters=[{"type": "clip_score"}])
    with pytest.raises(SpecError, match=r"models\.segmenter: 'builtin' knows"):
        checked(method, {"inpainting": "builtin-inpainting"})


def test_what_nothing_uses_is_warned_of() -> None:
    method = {"type": "text_to_image", "templates": ["a {} {place}"], "words": {"place": ["on ice"], "scene": ["at sea"]}}
    assert warnings(spec(method=method)) == [
        "method.words.scene: it is not used: no template has {scene}; write it in method.templates, or leave it out."
    ]
    for unused, field in (
        ({"type": "subpopulation", "clusters": 9}, "method.clusters"),
        ({"type": "subpopulation", "inversion": {"patience": 3}}, "method.inversion.patience"),
        ({"type": "text_to_image", "superclass": "shoe", "inversion": {"accuracy": 0.9}}, "method.inversion.accuracy"),
    ):
        wasteful = spec(method=unused)
        (line,) = warnings(wasteful)
        assert line.startswith(f"{field}: it is not used: ")
        assert warnings(parse(wasteful.model_dump(mode="json"))) == [line]
    assert warnings(spec(method={"type": "subpopulation", "clusters": 9, "features": "clip"})) == []
    (line,) = warnings(spec(models={"config": "/models/sd"}))
    assert line.startswith("models.config: '/models/sd' is not used: it goes with checkpoints in a single .safetensors file")
    for file in ("/models/a.safetensors", "org/name/a.safetensors@v1"):
        assert warnings(spec(models={"config": "/models/sd", "text_to_image": file})) == []
