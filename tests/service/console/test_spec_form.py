"""The form of a spec holds all that a spec can say, both ways. Two seconds."""

from importlib.resources import files
from typing import Any

import pytest
import yaml

from pipelines.spec import FILTER_SPECS, METHOD_SPECS, VersionSpec, parse
from service.console.spec_fields import sections, types_of
from service.console.spec_form import read, values_of
from tests.builders import document

EVERY_FILTER = [{"type": kind} for kind in types_of("filters")]
FULL: list[dict[str, Any]] = [
    {
        "source": {"type": "uploaded", "name": "birds", "classes": ["siskin", "wigeon"], "shots": 4, "max_problems": 0.5},
        "method": {
            "type": "spurious_removal", "superclass": "bird", "inversion": {"vectors": 2, "steps": 7, "masked": False},
            "lora": {"rank": 4, "scope": "class"}, "templates": ["a {colour} {}, flying: [high]", "a photo of {}"],
            "words": {"colour": ["red, dark", "blue"]}, "names": {"n02124075": "Egyptian cat: {x}"},
            "negative_prompt": "{blurred}", "guidance_interval": [0.2, 0.8], "region": "mask", "strength": 0.87,
        },
        "models": {"loras": [{"path": "a.safetensors", "weight": 0.5}],
                   "embeddings": [{"path": "b.safetensors", "token": "<style>"}], "resolution": 64},
        "filters": [{"type": "clip_score", "top": 0.5}, {"type": "quality", "max_seam": 0.1, "calibrate": 0.9}],
        "early_verdict": {"at": 0.6, "loss": 0.1, "images": 20},
        "evaluation": {"arms": ["erm", "counterpoise"], "seeds": [3, 4], "gamma": {"siskin": 2.0, "wigeon": 1.0},
                       "margin": None},
        "encoding": {"type": "jpeg", "quality": 80},
        "framing": "pad", "seed": 7, "amount": {"multiply": 0.5}, "classifier": {"checkpoint": "microsoft/resnet-50"},
    },
    {"method": {"type": "spurious_removal", "superclass": "bird", "inversion": None}},
    {"method": {"type": "image_variation", "strengths": [0.1, 0.9], "superclass": {"siskin": "bird"}}},
    {"method": {"type": "augmented_conditioning", "shots": 3, "width": 64}, "source": {"type": "folder", "path": "/a: x"}},
    {"method": {"type": "text_to_image", "negative_prompt": "123", "solver": "ddim"}, "filters": EVERY_FILTER[::-1]},
]  # fmt: skip


def examples() -> list[dict[str, Any]]:
    folder = files("service").joinpath("examples")
    return [yaml.safe_load(path.read_text(encoding="utf-8")) for path in folder.iterdir()]


@pytest.mark.parametrize("given", [*examples(), *(document(**changes) for changes in FULL)])
def test_a_spec_goes_into_the_form_and_comes_out_the_same(given: dict[str, Any]) -> None:
    spec = parse(given)
    for form in (values_of(given), values_of(spec.model_dump(mode="json"))):
        written = read(form)
        assert written.mistakes == {}
        assert written.spec == spec


def paths(model: dict[str, Any], prefix: str = "") -> set[str]:
    """The paths of all values in a document."""
    found = set()
    for name, value in model.items():
        found |= paths(value, f"{prefix}{name}.") if isinstance(value, dict) and value else {f"{prefix}{name}"}
    return found


@pytest.mark.parametrize("method", [model.model_fields["type"].annotation for model in METHOD_SPECS])
def test_every_field_has_its_place(method: Any) -> None:
    (kind,) = method.__args__
    pair = {"swap": "hue", "templates": ["a {hue} {}"], "words": {"hue": ["red", "blue"]}}
    needed = {"spurious_removal": {"superclass": "bird"}, "counterfactual_pairs": pair}.get(kind, {})
    parts = {"inversion": {}, "superclass": "bird", "lora": {}}
    spec = VersionSpec.model_validate(document(method={"type": kind, **needed, **parts}, evaluation={}))
    here = {one.path for section in sections({"method.type": kind}) for one in section.fields}
    there = paths(spec.model_dump(mode="json"))
    covered = {path for path in there if any(path == one or path.startswith(f"{one}.") for one in here)}
    types = {f"{name}.type" for name in ("source", "method", "encoding")}
    own = {path for path in there if path.startswith("source.")}  # of the type that the form has by default
    assert there - covered - own - types == {"filters", "schema_version"}
    filters = {one.title: one.fields for section in sections({}) for one in section.filters}
    assert {kind: len(fields) for kind, fields in filters.items()} == {
        model.model_fields["type"].annotation.__args__[0]: len(model.model_fields) - 1 for model in FILTER_SPECS
    }


@pytest.mark.parametrize(
    ("values", "path", "message"),
    [
        ({"method.steps": "many"}, "method.steps", "valid integer"),
        ({"method.words": "{a: [b"}, "method.words", "cannot be read as YAML"),
        ({"filters.near_duplicate": "on", "filters.near_duplicate.distance": "99"}, "filters.near_duplicate.distance", "64"),
        ({"amount.total": "3"}, "amount", "give one of"),
        ({"name": ""}, "name", "Field required"),
        ({"source.type": "uploaded"}, "source.name", "Field required"),
        ({"method.lora": "with these settings", "method.lora.rank": "0"}, "method.lora.rank", "greater than or equal to 1"),
    ],
)
def test_a_mistake_is_at_its_field(values: dict[str, str], path: str, message: str) -> None:
    base = {"name": "shoes", "source.type": "spurious", "method.type": "text_to_image", "amount.per_class": "1"}
    written = read({**base, "filters.quality": "on", **values})
    assert written.spec is None
    (text,) = written.mistakes[path]
    assert message in text


def test_types_that_are_not_there_are_not_taken() -> None:
    written = read({"name": "shoes", "method.type": "../../etc", "source.type": "x", "amount.per_class": "1"})
    assert written.document["method"]["type"] == "spurious_removal"
    assert "method.superclass" in written.mistakes
