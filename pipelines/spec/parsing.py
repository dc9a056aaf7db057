"""Parsing a spec: from YAML or JSON to the checked model, or to errors (`mistakes`)."""

import json
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pipelines.errors import SpecError
from pipelines.spec import models
from pipelines.spec.mistakes import explain
from pipelines.spec.sources import anchored
from pipelines.spec.version import VersionSpec


def parse(value: Any) -> VersionSpec:
    """Check a spec. Raises SpecError that names every wrong field, its value and what would be right."""
    try:
        return VersionSpec.model_validate(value)
    except ValidationError as error:
        raise SpecError(explain(error)) from None


class Loader(yaml.SafeLoader):
    """YAML of which every key counts."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        problem=f"{key.value!r} is there twice; remove one", problem_mark=key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, of which every key counts."""
    twice = [key for n, (key, _) in enumerate(pairs) if key in dict(pairs[:n])]
    if twice:
        raise SpecError(f"{twice[0]!r} is there twice; remove one")
    return dict(pairs)


def read(text: str, form: str) -> Any:
    """Raises SpecError that says where it is no JSON or YAML."""
    try:
        return json.loads(text, object_pairs_hook=unique) if form == "JSON" else yaml.load(text, Loader)
    except json.JSONDecodeError as error:
        raise SpecError(f"line {error.lineno}, column {error.colno}: not valid JSON: {error.msg}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise SpecError(f"{place}not valid YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SpecError(f"not valid {form}: {' '.join(str(error).split())}") from None


def load(path: Path) -> VersionSpec:
    """Read a YAML or JSON spec. Relative paths in it, of images and checkpoints, are taken from the spec's own place.
    Raises SpecError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: cannot be read ({error}); give the path of a YAML or JSON file") from None
    try:
        value = read(text, "JSON" if path.suffix == ".json" else "YAML")
    except SpecError as error:
        raise SpecError(f"{path}: {error}") from None
    spec = parse(value)
    home, checkpoint = path.parent, spec.classifier.checkpoint
    changes: dict[str, Any] = {"source": anchored(spec.source, home)}
    if (anchored_models := models.anchored(spec.models, home)) != spec.models:
        changes["models"] = anchored_models
    if checkpoint and (place := models.place(checkpoint, home)) != checkpoint:
        changes["classifier"] = spec.classifier.model_copy(update={"checkpoint": place})
    return spec.model_copy(update=changes)
